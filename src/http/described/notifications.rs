//! Notifications: preferences, devices, the live stream, dead letters.

use super::{Body, CURSOR, Described, EMPTY, LIMIT, Success};
use crate::http::problem::Code;
use crate::http::route::Route;

pub(super) fn describe(route: Route) -> Option<Described> {
    let own = Described { tag: "Notifications", ..EMPTY };
    let dead = Described {
        tag: "Notifications",
        success: Success::Json("200", "DeadLetter"),
        codes: &[Code::InvalidId, Code::NotFound],
        ..EMPTY
    };
    Some(match route {
        Route::NotificationsRead => Described {
            summary: "What the caller is told, by kind and channel",
            success: Success::Json("200", "NotificationPreferences"),
            ..own
        },
        Route::NotificationsChoose => Described {
            summary: "Choose what to be told",
            description: Some("What is not named stays. Codes and security events cannot be switched off."),
            body: Body::Json("NotificationPreferencesRequest", true),
            example: Some(r#"{"preferences":[{"kind":"money_in","channel":"email","on":false}]}"#),
            success: Success::Json("200", "NotificationPreferences"),
            ..own
        },
        Route::DeviceList => Described {
            summary: "The caller's devices for push messages",
            success: Success::Json("200", "DevicePage"),
            ..own
        },
        Route::DeviceAdd => Described {
            summary: "Send push messages to a device",
            description: Some("Up to ten; with more, the oldest goes. A token that another account had moves here."),
            body: Body::Json("DeviceRequest", true),
            example: Some(r#"{"push_token":"d7Yx...","platform":"android"}"#),
            success: Success::Json("201", "Device"),
            ..own
        },
        Route::DeviceRemove => Described {
            summary: "Send no more push messages to a device",
            success: Success::Json("200", "Device"),
            codes: &[Code::InvalidId, Code::NotFound],
            ..own
        },
        Route::Events => Described {
            summary: "The caller's events as they happen",
            description: Some(
                "Server-Sent Events: money_in, money_out, payment_failed, request, security, in order, each with its id. With \
                 Last-Event-ID those after it come first; an event `gap` says that older ones are no longer kept. A comment \
                 comes every 15 seconds. The stream ends with the session, and after ten minutes at most, as an access token \
                 does: come back with a new one and the last id.",
            ),
            success: Success::Text("text/event-stream"),
            codes: &[Code::TooManyStreams],
            ..own
        },
        Route::DeadLetterList => Described {
            summary: "Messages that could not be delivered, newest first",
            query: &[LIMIT, CURSOR],
            success: Success::Json("200", "DeadLetterPage"),
            codes: &[Code::InvalidCursor],
            ..dead
        },
        Route::DeadLetterSend => Described { summary: "Send a dead letter again", ..dead },
        Route::DeadLetterDiscard => Described { summary: "Put a dead letter away", ..dead },
        _ => return None,
    })
}
