//! The table of who may do what, as docs/access.md prints it; and that whoever only looks changes nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fmt::Write as _;

use florin::http::access::{Access, Own};
use florin::http::route::{Route, Verb};
use florin::store::Role;
use sqlx::Row as _;

use crate::people_rig::People;
use crate::people_routes::{Caller, Cast, OBJECTS, TABLE, ask};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/access.md");
const BEGIN: &str =
    "<!-- The table below is written by a test: FLORIN_WRITE_DOCS=1 cargo test --test it people_access -->\n";
/// Rows that come and go by themselves while nobody asks for anything: what is sent to people, and when jobs ran.
const BY_THEMSELVES: &[&str] = &["outbox", "deliveries", "feed", "views"];

#[test]
fn the_document_has_the_table_of_the_server() {
    let written = std::fs::read_to_string(DOCUMENT).unwrap();
    let (before, _) = written.split_once(BEGIN).expect("the table has its place");
    let wanted = format!("{before}{BEGIN}{}", table());
    if std::env::var_os("FLORIN_WRITE_DOCS").is_some() {
        std::fs::write(DOCUMENT, &wanted).unwrap();
    }
    assert!(
        std::fs::read_to_string(DOCUMENT).unwrap() == wanted,
        "docs/access.md is stale; its table says how to mend it"
    );
}

fn table() -> String {
    let mut text = "\n| route | who | whose | API keys for |\n|---|---|---|---|\n".to_owned();
    for route in Route::ALL {
        let access = route.access();
        let verb = if route.verb() == Verb::Get { "GET" } else { "POST" };
        let scope = access.scope.map_or(String::new(), |scope| format!("`{}`", scope.name()));
        writeln!(text, "| `{verb} {}` | {} | {} | {scope} |", route.path(), who(access), whose(access)).unwrap();
    }
    text
}

fn who(access: Access) -> String {
    if access.open {
        return "anybody".to_owned();
    }
    let mut who: Vec<&str> = access.roles.iter().map(|role| role.name()).collect();
    if who.len() == Role::ALL.len() {
        who = vec!["everybody signed in"];
    }
    if access.operator {
        who.push("operator");
    }
    who.join(", ")
}

fn whose(access: Access) -> &'static str {
    match access.own {
        Own::Nothing => "",
        Own::Caller => "the caller's own",
        Own::Wallet => "wallet",
        Own::Named(what) => what,
    }
}

#[tokio::test]
async fn a_get_changes_nothing() {
    let people = People::start().await;
    let mut count = 0;
    for (index, (route, _, _, body)) in TABLE.iter().enumerate().filter(|(_, row)| row.0.starts_with("GET ")) {
        let cast = Cast::new(&people, index).await;
        let person = &cast.people[0];
        let id = match OBJECTS.iter().find(|object| route.contains(&format!("{{{object}}}"))) {
            Some(object) => cast.object(&people, object, person).await,
            None => String::new(),
        };
        let before = state(&people).await;
        for caller in cast.people.iter().map(Caller::Person).chain([Caller::Operator, Caller::Nobody]) {
            ask(&people, &cast, route, body, &caller, &id).await;
        }
        assert!(state(&people).await == before, "{route} has changed something");
        count += 1;
    }
    assert!(count > 10, "{count} routes");
    people.stop().await;
}

/// The end of the log, and every row of the database.
async fn state(people: &People) -> (u64, Vec<String>) {
    let store = &people.services.store;
    let (tables, columns) = if store.is_postgres() {
        let schema = "FROM information_schema";
        (
            format!("SELECT CAST(table_name AS TEXT) {schema}.tables WHERE table_schema = 'public' ORDER BY 1"),
            format!(
                "SELECT CAST(column_name AS TEXT) {schema}.columns \
                 WHERE table_schema = 'public' AND table_name = 'TABLE' ORDER BY 1"
            ),
        )
    } else {
        let named = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1";
        (named.to_owned(), "SELECT name FROM pragma_table_info('TABLE') ORDER BY 1".to_owned())
    };
    let mut all = Vec::new();
    for table in texts(people, tables).await {
        if BY_THEMSELVES.contains(&table.as_str()) || table == "_sqlx_migrations" {
            continue;
        }
        let columns = texts(people, columns.replace("TABLE", &table)).await;
        let row: Vec<_> = columns.iter().map(|column| format!("COALESCE(CAST({column} AS TEXT), '-')")).collect();
        all.push(table.clone());
        all.extend(texts(people, format!("SELECT {} FROM {table} ORDER BY 1", row.join(" || '|' || "))).await);
    }
    (people.services.engine.health().last_lsn, all)
}

async fn texts(people: &People, sql: String) -> Vec<String> {
    let mut c = people.services.store.read().await.unwrap();
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut *c).await.unwrap();
    rows.iter().map(|row| row.try_get::<String, _>(0).unwrap()).collect()
}
