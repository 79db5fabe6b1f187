//! The history of somebody's wallet as he reads it: the ledger's entries, with the names of those on the other side, and
//! searched by what is written on them.

use std::collections::HashMap;

use super::fault::Fault;
use super::{Services, payees};
use crate::engine::{EntriesQuery, EntryView};
use crate::ledger::WalletId;

/// Entries that are looked at for one page of a search. A text that is rare gives short or empty pages, each with a cursor to
/// go on by, so that nobody makes the server read a whole life at once.
pub const SEARCHED_ENTRIES_MAX: usize = 2_000;
/// Characters of a text to search for.
pub const SEARCH_CHARACTERS_MAX: usize = 100;

const STEP_ENTRIES: usize = 200;

/// An entry, and who was on the other side.
#[derive(Clone, Debug)]
pub struct Named {
    pub entry: EntryView,
    /// One for each counterparty, in their order; none where it is no person's or merchant's wallet.
    pub names: Vec<Option<String>>,
}

#[derive(Clone, Debug)]
pub struct HistoryPage {
    pub entries: Vec<Named>,
    /// A position in the log: where the next page begins does not move, however much is added.
    pub next_before_lsn: Option<u64>,
}

/// A page, newest first; with a text, of those entries only that have it in their reference or in a name, in any case.
pub async fn page(services: &Services, query: EntriesQuery, search: Option<&str>) -> Result<HistoryPage, Fault> {
    let wanted = search.map(str::to_lowercase);
    let limit = query.limit;
    let mut query = EntriesQuery { limit: if wanted.is_some() { STEP_ENTRIES } else { limit }, ..query };
    let mut names = HashMap::new();
    let mut page = HistoryPage { entries: Vec::new(), next_before_lsn: None };
    let mut searched = 0;
    loop {
        let part = services.engine.entries(query.clone()).await?;
        searched += query.limit;
        let others: Vec<WalletId> =
            part.entries.iter().flat_map(|entry| entry.counterparties.iter().copied()).collect();
        payees::names(services, &others, &mut names).await?;
        for entry in part.entries {
            if page.entries.len() == limit {
                page.next_before_lsn = page.entries.last().map(|last| last.entry.lsn);
                return Ok(page);
            }
            let named = named(entry, &names);
            if wanted.as_deref().is_none_or(|wanted| named.says(wanted)) {
                page.entries.push(named);
            }
        }
        page.next_before_lsn = part.next_before_lsn;
        let is_enough = page.entries.len() == limit || searched >= SEARCHED_ENTRIES_MAX;
        match part.next_before_lsn {
            Some(before) if !is_enough => query.before_lsn = Some(before),
            _ => return Ok(page),
        }
    }
}

fn named(entry: EntryView, names: &HashMap<WalletId, Option<String>>) -> Named {
    let of = |wallet: &WalletId| names.get(wallet).cloned().flatten();
    Named { names: entry.counterparties.iter().map(of).collect(), entry }
}

impl Named {
    fn says(&self, wanted: &str) -> bool {
        let texts = self.names.iter().flatten().map(String::as_str).chain(self.entry.reference.as_deref());
        texts.into_iter().any(|text| text.to_lowercase().contains(wanted))
    }
}
