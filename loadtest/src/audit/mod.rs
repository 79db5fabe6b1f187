//! `loadtest audit`: asks the server for everything on the list, checks its books, prints a table, and gives
//! the exit code: 0 all there, 1 something missing or different, 2 could not finish.

pub mod books;
pub mod listed;

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use self::books::{Books, Summary, WalletCheck, read_summary};
use self::listed::{Listed, Source};
use crate::acknowledged::{ListError, Reader};
use crate::args::AuditArgs;
use crate::client::{Halt, Job, OnLoss, Stop};
use crate::crew::Crew;
use crate::endpoint::EndpointError;
use crate::progress::{self, grouped};

/// Differences described in words; the rest is only counted.
const PROBLEMS_MAX: usize = 10;

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    List(#[from] ListError),
    #[error("the audit could not finish: {0}")]
    Unfinished(String),
    #[error("cannot run")]
    Runtime(#[from] io::Error),
    #[error("cannot write the result {path}")]
    Write { path: PathBuf, source: io::Error },
}

/// What was found; connections share one.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    pub acknowledged: u64,
    pub found: u64,
    pub missing: u64,
    pub different: u64,
    pub refusals: u64,
    pub refusals_different: u64,
    pub wallets_checked: u64,
    pub wallets_different: u64,
    /// Wallets with more entries than were to be added up: only their newest were checked.
    pub wallets_too_long: u64,
    pub entries_added: u64,
    pub last_lsn: u64,
    pub sums: Vec<(String, String)>,
    pub sums_zero: bool,
    pub problems: Vec<String>,
    /// Why the audit cannot go on.
    #[serde(skip)]
    pub stuck: Option<String>,
}

impl Findings {
    pub fn problem(&mut self, what: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what);
        }
    }

    pub fn all_well(&self) -> bool {
        let differences = self.missing + self.different + self.refusals_different;
        differences + self.wallets_different == 0 && self.sums_zero
    }
}

pub fn audit(args: &AuditArgs) -> Result<u8, AuditError> {
    let crew = Crew {
        endpoint: args.server.endpoint()?,
        depth: usize::from(args.pipeline),
        on_loss: OnLoss::AskForLess,
        is_http2: false,
        halt: Arc::new(Halt::default()),
        until: None,
    };
    // Counted first, so that the bar has an end and a bad line stops the audit before it begins.
    let mut lines = 0;
    for line in Reader::open(&args.acknowledged)? {
        line?;
        lines += 1;
    }
    let bar = progress::bar(args.server.quiet, "acknowledged", lines);
    let source = Source::new(Reader::open(&args.acknowledged)?, args.wallets_checked, bar.clone());
    let source = Rc::new(RefCell::new(source));
    let jobs = |_| Listed::new(&crew, Rc::clone(&source));
    work(&crew, (0..args.connections).map(jobs).collect())?;
    bar.finish_and_clear();
    let (mut findings, wallets) = source.borrow_mut().finish();
    give_up_if_stuck(&mut findings)?;

    let bar = progress::bar(args.server.quiet, "wallets", wallets.len() as u64);
    let waiting = wallets.into_iter().map(WalletCheck::new).collect();
    let books = Rc::new(RefCell::new(Books { waiting, findings, bar: bar.clone(), entries_max: args.entries_max }));
    work(&crew, (0..args.connections).map(|_| books::Check::new(&crew, Rc::clone(&books))).collect())?;
    bar.finish_and_clear();
    let mut findings = std::mem::take(&mut books.borrow_mut().findings);
    give_up_if_stuck(&mut findings)?;
    let summary = Rc::new(RefCell::new(None));
    work(&crew, vec![Summary::new(&crew, Rc::clone(&summary))])?;
    let summary = summary.take().unwrap_or_else(|| Err("no ledger summary".to_owned()));
    read_summary(summary.map_err(AuditError::Unfinished)?, &mut findings);

    if !args.server.quiet {
        print!("{}", table(&findings));
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&findings).map_err(io::Error::from)?;
        std::fs::write(path, text + "\n").map_err(|source| AuditError::Write { path: path.clone(), source })?;
    }
    Ok(u8::from(!findings.all_well()))
}

fn work<J: Job + 'static>(crew: &Crew, jobs: Vec<J>) -> Result<(), AuditError> {
    let ended = crew.work(jobs, Duration::from_secs(1), || {})?;
    match ended.losses.into_iter().next() {
        Some(why) => Err(AuditError::Unfinished(why)),
        None if crew.halt.state() == Stop::Interrupted => Err(AuditError::Unfinished("interrupted".to_owned())),
        None => Ok(()),
    }
}

fn give_up_if_stuck(findings: &mut Findings) -> Result<(), AuditError> {
    match findings.stuck.take() {
        Some(why) => Err(AuditError::Unfinished(why)),
        None => Ok(()),
    }
}

fn table(findings: &Findings) -> String {
    let mut rows = vec![
        ("acknowledged", grouped(findings.acknowledged)),
        ("found", grouped(findings.found)),
        ("missing", grouped(findings.missing)),
        ("different", grouped(findings.different)),
        ("refusals listed", grouped(findings.refusals)),
        ("refusals different", grouped(findings.refusals_different)),
        ("wallets checked", grouped(findings.wallets_checked)),
        ("wallets different", grouped(findings.wallets_different)),
        ("entries added up", grouped(findings.entries_added)),
    ];
    if findings.wallets_too_long > 0 {
        rows.push(("wallets too long", grouped(findings.wallets_too_long)));
    }
    rows.push(("last lsn", grouped(findings.last_lsn)));
    let mut text: String = rows.iter().map(|(name, value)| format!("{name:<20}{value:>16}\n")).collect();
    for (currency, sum) in &findings.sums {
        text.push_str(&format!("{:<20}{sum:>16}\n", format!("sum {currency}")));
    }
    for problem in &findings.problems {
        text.push_str(&format!("  {problem}\n"));
    }
    text.push_str(if findings.all_well() {
        "all that was acknowledged is there, and the books sum to zero\n"
    } else {
        "NOT all well\n"
    });
    text
}
