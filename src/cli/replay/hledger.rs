//! The ledger as a plain-text journal that hledger reads: one transaction for each event that moves money, with
//! all of its legs. An account for each wallet: `wallets:CZK:<id>`, or `system:CZK:<id>` for system wallets, whose
//! balances mirror what has come in and gone out.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};

use florin::ledger::money::format_minor;
use florin::ledger::{Book, Currency, Event, Kind, Leg, WalletId};

use crate::cli::screen;
use crate::cli::tape::Played;

pub struct Journal {
    out: BufWriter<Box<dyn Write>>,
    begun: bool,
    currencies: BTreeSet<Currency>,
}

/// What stands in the first two lines of a transaction.
struct Head<'a> {
    kind: &'a str,
    id: String,
    hold: Option<String>,
    reference: Option<&'a str>,
}

impl Journal {
    pub fn new(out: Box<dyn Write>) -> Journal {
        Journal { out: BufWriter::new(out), begun: false, currencies: BTreeSet::new() }
    }

    /// The book is asked what kind each wallet is; it has this event already.
    pub fn write(&mut self, played: &Played, book: &Book) -> io::Result<()> {
        match &played.event {
            Event::Transferred(transfer) => {
                let head = Head {
                    kind: transfer.kind().name(),
                    id: transfer.id().to_string(),
                    hold: None,
                    reference: transfer.reference(),
                };
                self.transaction(played, &head, transfer.currency(), transfer.legs(), book)
            }
            Event::HoldCaptured(capture) => {
                let head = Head {
                    kind: "capture",
                    id: capture.id.to_string(),
                    hold: Some(capture.hold.to_string()),
                    reference: None,
                };
                let minor = capture.amount.minor();
                let legs =
                    [Leg { wallet: capture.payer, amount: -minor }, Leg { wallet: capture.payee, amount: minor }];
                self.transaction(played, &head, capture.currency, &legs, book)
            }
            _ => Ok(()),
        }
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.begin()?;
        self.out.flush()
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        // Without this line hledger may take the point of 1.234 KWD for a mark of thousands.
        writeln!(self.out, "; Every movement of money in a Florin log, in its order.\ndecimal-mark .")
    }

    fn transaction(
        &mut self,
        played: &Played,
        head: &Head<'_>,
        currency: Currency,
        legs: &[Leg],
        book: &Book,
    ) -> io::Result<()> {
        self.begin()?;
        if self.currencies.insert(currency) {
            let sample = match currency.exponent() {
                0 => "1000.".to_owned(),
                exponent => format!("1000.{}", "0".repeat(exponent as usize)),
            };
            writeln!(self.out, "\ncommodity {sample} {currency}")?;
        }
        let time = screen::time(played.time_micros);
        let (date, _) = time.split_once('T').unwrap_or((&time, ""));
        let Head { kind, id, hold, reference } = head;
        write!(self.out, "\n{date} {kind}  ; lsn:{}, transfer:{id}, time:{time}", played.lsn)?;
        if let Some(hold) = hold {
            write!(self.out, ", hold:{hold}")?;
        }
        writeln!(self.out)?;
        if let Some(reference) = reference {
            writeln!(self.out, "    ; reference:{}", one_line(reference))?;
        }
        for leg in legs {
            let account = account(leg.wallet, currency, book);
            writeln!(self.out, "    {account}  {} {currency}", format_minor(leg.amount, currency))?;
        }
        Ok(())
    }
}

fn account(wallet: WalletId, currency: Currency, book: &Book) -> String {
    let kind = book.wallets.get(&wallet).map(|wallet| wallet.opening.kind);
    let root = if kind == Some(Kind::System) { "system" } else { "wallets" };
    format!("{root}:{currency}:{wallet}")
}

/// A reference is whatever a client wrote, and a comment of hledger ends with the line. A comma would end the tag and
/// a colon begin another one, so these are written as in JSON strings too, and so is the backslash itself.
fn one_line(reference: &str) -> String {
    let mut text = String::with_capacity(reference.len());
    for character in reference.chars() {
        match character {
            '\\' | ',' | ':' => text.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') => {
                text.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stay_on_their_line_and_in_their_tag() {
        for (reference, text) in [
            ("Order 4711", "Order 4711"),
            ("a\n2026-01-01 theft", "a\\u000a2026-01-01 theft"),
            ("date:2020-01-01, x", "date\\u003a2020-01-01\\u002c x"),
            ("C\\u002c", "C\\u005cu002c"),
            ("žluťoučký ; kůň", "žluťoučký ; kůň"),
        ] {
            assert_eq!(one_line(reference), text);
        }
    }
}
