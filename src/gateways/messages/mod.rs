//! Connectors that carry messages to people: email, SMS, push. Each takes one message and says whether it was taken, refused
//! for good, or may be tried again.

mod folder;
mod http;
mod smtp;

use std::pin::Pin;

use uuid::Uuid;

pub use folder::Folder;
pub use http::{HttpGateway, HttpGatewayError};
pub use smtp::{Smtp, SmtpConfigError};

/// What goes out.
#[derive(Clone)]
pub struct Message {
    /// The same id twice is the same message: whoever can tell, sends it once.
    pub id: Uuid,
    /// An email address, a phone number (E.164), or a push token.
    pub to: String,
    pub kind: &'static str,
    pub subject: String,
    pub text: String,
    /// Email only.
    pub html: Option<String>,
    pub locale: String,
}

/// Why it was not taken. Texts are for operators: they hold no address and nothing of the message.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Trying again would change nothing.
    #[error("refused: {0}")]
    Refused(String),
    #[error("not taken: {0}")]
    Failed(String),
}

/// What the provider calls it, if it said.
pub type Taken = Result<Option<String>, SendError>;

pub type Sending<'a> = Pin<Box<dyn Future<Output = Taken> + Send + 'a>>;

pub trait Connector: Send + Sync {
    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a>;
}

/// Shows nothing of what is in it.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A provider's own words, cut short and in one line, without the address that they like to repeat.
fn told(text: &str, address: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    let text = if address.is_empty() { text.to_owned() } else { text.replace(address, "(address)") };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARACTERS_MAX).collect()
}

/// The whole story of an error, without the address.
fn story(error: &dyn std::error::Error, address: &str) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    told(&text, address)
}
