//! docs/guide.md, word for word: its commands are run in their order by a shell against the real server and the bank to try
//! with, so a reader who types them gets what the page says.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use simulators::bank::{Bank, Faults};
use tempfile::TempDir;

use crate::cli_serve::Server;

/// What stands between ```sh and ```.
fn commands(page: &str) -> String {
    let mut commands = String::new();
    let mut is_inside = false;
    for line in page.lines() {
        match line {
            "```sh" => is_inside = true,
            "```" => is_inside = false,
            _ if is_inside => {
                commands.push_str(line);
                commands.push('\n');
            }
            _ => {}
        }
    }
    commands
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_does_what_it_says() {
    let folder = TempDir::new().expect("a temporary folder");
    let data = folder.path().join("data");
    let faults = Faults { delay: Duration::from_millis(200), ..Faults::default() };
    let address = "127.0.0.1:0".parse().expect("an address");
    let bank = Bank::open(address, &folder.path().join("books"), "a-key", faults).await.expect("it opens");
    let mut server = Server::start(&data, &["--json", "--bank-url", &bank.url(), "--bank-key", "a-key"]);
    let listening = server.json("listening");
    server.json("ready");
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide.md")).expect("it is there");
    let commands = commands(&page);
    assert!(commands.lines().count() > 50, "the page has its commands");
    let output = Command::new("bash")
        .args(["-c", &format!("set -u; trap 'echo \"stopped in line $LINENO\" >&2; exit 1' ERR\n{commands}")])
        .env("api", listening["url"].as_str().expect("an address"))
        .env("operator", listening["api_key"].as_str().expect("a key"))
        .env("mail", data.join("mail"))
        .output()
        .expect("bash runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}
