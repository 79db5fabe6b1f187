//! A statement as PDF, in the fonts that every reader has. Those have the letters of Western Europe only (WinAnsi): any other
//! character is written as its number, like <U+0906>, and the statement says so; the CSV has it as it is.

use std::fmt::Write as _;

use pdf_writer::{Content, Finish as _, Name, Pdf, Rect, Ref, Str, TextStr};

use super::{Named, Statement, counterparty, time_text};
use crate::ledger::money::{format_minor, format_sum};

/// A4, in points.
const PAGE: Rect = Rect { x1: 0.0, y1: 0.0, x2: 595.0, y2: 842.0 };
const LEFT: f32 = 36.0;
const TOP: f32 = 800.0;
const LEADING: f32 = 10.5;
const SIZE: f32 = 7.5;
/// Characters of a line: each is 0.6 of the size wide in Courier.
const LINE_CHARACTERS: usize = 116;
const PAGE_LINES: usize = 70;
const TITLE_SIZE: f32 = 14.0;

const PLAIN: Name<'static> = Name(b"F1");
const BOLD: Name<'static> = Name(b"F2");

/// Widths of the columns, and a space after each: 19 + 11 + 46 + 18 + 18 + 4 = LINE_CHARACTERS.
const TIME_WIDTH: usize = 19;
const KIND_WIDTH: usize = 11;
const TEXT_WIDTH: usize = 46;
const SUM_WIDTH: usize = 18;
const _: () = assert!(TIME_WIDTH + KIND_WIDTH + TEXT_WIDTH + 2 * SUM_WIDTH + 4 == LINE_CHARACTERS);

struct Line {
    bytes: Vec<u8>,
    is_bold: bool,
}

pub(super) fn write(statement: &Statement) -> Vec<u8> {
    let has_numbers = !win_ansi(&statement.name).1 || statement.entries.iter().any(|named| !win_ansi(&said(named)).1);
    let mut lines = Vec::new();
    let mut put = |text: &str, is_bold| {
        let (bytes, _) = win_ansi(text);
        // What is too long goes on in the next line, so nothing is cut off.
        let mut rest = &bytes[..];
        while rest.len() > LINE_CHARACTERS {
            lines.push(Line { bytes: rest[..LINE_CHARACTERS].to_vec(), is_bold });
            rest = &rest[LINE_CHARACTERS..];
        }
        lines.push(Line { bytes: rest.to_vec(), is_bold });
    };
    let currency = statement.currency;
    put(&format!("Name      {}", statement.name), false);
    put(&format!("Wallet    {}", statement.wallet), false);
    put(&format!("Time      {} to {} (UTC)", time_text(statement.from_micros), time_text(statement.to_micros)), false);
    put(&format!("Made      {}", time_text(statement.made_at_micros)), false);
    put(&format!("Currency  {}", currency.code()), false);
    put("", false);
    put(&row("Time", "Kind", "With, and reference", "Amount", "Balance"), true);
    put(&row("", "", "Opening balance", "", &format_minor(statement.opening, currency)), false);
    for named in &statement.entries {
        let entry = &named.entry;
        let time: String = time_text(entry.time_micros).chars().take(TIME_WIDTH).collect();
        let mut texts = wrapped(&said(named));
        let amount = format_minor(entry.amount, currency);
        let balance = format_minor(entry.balance_after, currency);
        put(&row(&time.replace('T', " "), entry.kind.name(), &texts.remove(0), &amount, &balance), false);
        for text in texts {
            put(&row("", "", &text, "", ""), false);
        }
    }
    put(&row("", "", "Closing balance", "", &format_minor(statement.closing, currency)), true);
    put(&row("", "", "Total in", &format_sum(statement.total_in, currency), ""), false);
    put(&row("", "", "Total out", &format_sum(-statement.total_out, currency), ""), false);
    put(&row("", "", &format!("{} entries", statement.entries.len()), "", ""), false);
    if has_numbers {
        put("", false);
        put("<U+....> stands for a character that this file's fonts do not have; the statement as CSV has it.", false);
    }
    document(&lines)
}

/// Who was on the other side, and what was written on it.
fn said(named: &Named) -> String {
    let texts = [counterparty(named), named.entry.reference.as_deref().unwrap_or_default().to_owned()];
    let texts: Vec<&str> = texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    texts.join(": ")
}

fn row(time: &str, kind: &str, text: &str, amount: &str, balance: &str) -> String {
    let mut line = String::new();
    let written = write!(
        line,
        "{time:<TIME_WIDTH$} {kind:<KIND_WIDTH$} {text:<TEXT_WIDTH$} {amount:>SUM_WIDTH$} {balance:>SUM_WIDTH$}"
    );
    written.expect("memory takes every write");
    line
}

/// In pieces that fit into the column, at least one.
fn wrapped(text: &str) -> Vec<String> {
    let (bytes, _) = win_ansi(text);
    if bytes.len() <= TEXT_WIDTH && text.chars().count() == bytes.len() {
        return vec![text.to_owned()];
    }
    // With the numbers of characters written out, so that the width is known.
    let plain: String =
        text.chars().map(|c| if win_ansi_byte(c).is_some() { c.to_string() } else { number(c) }).collect();
    let characters: Vec<char> = plain.chars().collect();
    let mut pieces: Vec<String> = characters.chunks(TEXT_WIDTH).map(|piece| piece.iter().collect()).collect();
    if pieces.is_empty() {
        pieces.push(String::new());
    }
    pieces
}

fn document(lines: &[Line]) -> Vec<u8> {
    let (catalog, tree, plain, bold, info) = (Ref::new(1), Ref::new(2), Ref::new(3), Ref::new(4), Ref::new(5));
    let pages: Vec<&[Line]> = lines.chunks(PAGE_LINES).collect();
    let count = i32::try_from(pages.len()).expect("a statement has an end");
    let page_ref = |index: i32| Ref::new(6 + 2 * index);
    let content_ref = |index: i32| Ref::new(7 + 2 * index);
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(tree);
    pdf.document_info(info).title(TextStr("Statement")).producer(TextStr("Florin"));
    pdf.pages(tree).kids((0..count).map(page_ref)).count(count);
    for (id, name) in [(plain, &b"Courier"[..]), (bold, &b"Courier-Bold"[..])] {
        pdf.type1_font(id).base_font(Name(name)).encoding_predefined(Name(b"WinAnsiEncoding"));
    }
    for (index, lines) in (0..count).zip(&pages) {
        let mut page = pdf.page(page_ref(index));
        page.media_box(PAGE).parent(tree).contents(content_ref(index));
        page.resources().fonts().pair(PLAIN, plain).pair(BOLD, bold);
        page.finish();
        let mut content = Content::new();
        content.begin_text();
        content.set_font(BOLD, if index == 0 { TITLE_SIZE } else { SIZE });
        content.next_line(LEFT, TOP);
        content.show(Str(b"Statement"));
        content.set_font(PLAIN, SIZE);
        content.next_line(0.0, -LEADING);
        content.show(Str(format!("Page {} of {count}", index + 1).as_bytes()));
        content.next_line(0.0, -LEADING);
        for line in *lines {
            content.set_font(if line.is_bold { BOLD } else { PLAIN }, SIZE);
            content.next_line(0.0, -LEADING);
            content.show(Str(&line.bytes));
        }
        content.end_text();
        pdf.stream(content_ref(index), &content.finish());
    }
    pdf.finish()
}

/// The text in the fonts' encoding, and whether all of its characters are in it.
fn win_ansi(text: &str) -> (Vec<u8>, bool) {
    let mut bytes = Vec::with_capacity(text.len());
    let mut is_whole = true;
    for character in text.chars() {
        match win_ansi_byte(character) {
            Some(byte) => bytes.push(byte),
            None => {
                is_whole = false;
                bytes.extend_from_slice(number(character).as_bytes());
            }
        }
    }
    (bytes, is_whole)
}

fn number(character: char) -> String {
    format!("<U+{:04X}>", u32::from(character))
}

/// Code page 1252: Latin-1, and these in the place of its second row of control characters.
fn win_ansi_byte(character: char) -> Option<u8> {
    const FROM_80: [char; 32] = [
        '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘', '’', '“', '”',
        '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
    ];
    match character {
        ' '..='~' | '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(character)).ok(),
        '\0' => None,
        other => {
            let index = FROM_80.iter().position(|known| *known == other)?;
            u8::try_from(0x80 + index).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_is_lost() {
        assert_eq!(win_ansi("Café – 5 €"), (b"Caf\xe9 \x96 5 \x80".to_vec(), true));
        assert_eq!(win_ansi("आ\n\0"), (b"<U+0906><U+000A><U+0000>".to_vec(), false));
        let long = "आ".repeat(20);
        let pieces = wrapped(&long);
        assert!(pieces.iter().all(|piece| piece.chars().count() <= TEXT_WIDTH));
        assert_eq!(pieces.concat(), "<U+0906>".repeat(20));
        assert_eq!(wrapped(""), [""]);
    }
}
