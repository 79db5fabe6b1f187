//! The OpenAPI document has every route of the server and no other, and holds together.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;

use florin::http::ServerConfig;
use florin::http::problem::Code;
use florin::http::route::{Route, Verb};
use serde_json::Value;

use crate::http_api::Api;

async fn document() -> Value {
    let api = Api::listening(ServerConfig::default()).await;
    let reply = api.send_bare("GET", "/openapi.json", &[], b"").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    let document = reply.json();
    api.stop().await;
    document
}

fn every<'v>(value: &'v Value, visit: &mut impl FnMut(&'v str, &'v Value)) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            visit(name, member);
            every(member, visit);
        }),
        Value::Array(items) => items.iter().for_each(|item| every(item, visit)),
        _ => {}
    }
}

#[tokio::test]
async fn it_has_the_routes_of_the_server_and_no_other() {
    let document = document().await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let known: BTreeSet<(String, String)> = Route::ALL
        .iter()
        .map(|route| (route.path().to_owned(), if route.verb() == Verb::Get { "get" } else { "post" }.to_owned()))
        .collect();
    let paths = document["paths"].as_object().unwrap().iter();
    let listed: BTreeSet<(String, String)> = paths
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())))
        .collect();
    assert_eq!(listed, known);
}

#[tokio::test]
async fn each_operation_is_whole() {
    let document = document().await;
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let about = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{about}");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{about}");
            assert!(
                document["tags"].as_array().unwrap().iter().any(|tag| tag["name"] == operation["tags"][0]),
                "{about}"
            );
            let responses = operation["responses"].as_object().unwrap();
            let success = responses.iter().find(|(status, _)| status.starts_with('2')).unwrap().1;
            assert!(success["content"].is_object(), "{about}");
            let verb = if method == "get" { Verb::Get } else { Verb::Post };
            let route = Route::ALL.iter().find(|route| route.path() == path && route.verb() == verb).unwrap();
            assert_eq!(operation["security"].is_array(), !route.is_open(), "{about}");
            assert!(route.is_open() || responses.contains_key("401"), "{about}");
            let parameters = operation["parameters"].as_array().unwrap();
            let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(in_path, path.matches('{').count(), "{about}");
        }
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere_and_every_code_is_there() {
    let document = document().await;
    let mut count = 0;
    every(&document, &mut |name, value| {
        if let ("$ref", Value::String(target)) = (name, value) {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
            count += 1;
        }
    });
    assert!(count > 100, "{count} references");
    let responses = document["components"]["responses"].as_object().unwrap();
    assert_eq!(responses.len(), Code::ALL.len());
    let text = document["paths"].to_string();
    for code in Code::ALL {
        // What no route of the document can say is said where there is no route.
        assert!(text.contains(code.name()) || *code == Code::NotFound, "{}", code.name());
    }
    assert_eq!(document["components"]["securitySchemes"]["api_key"]["scheme"], "bearer");
}

#[tokio::test]
async fn the_readable_page_needs_nothing_from_outside() {
    let api = Api::listening(ServerConfig::default()).await;
    let reply = api.send_bare("GET", "/docs", &[], b"").await;
    assert!(reply.header("content-security-policy").unwrap().contains("default-src 'none'"));
    let page = String::from_utf8(reply.body.clone()).unwrap();
    assert!(page.contains("/openapi.json"));
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    api.stop().await;
}
