//! The list of what the server acknowledged: one short line each, written soon, read back by the audit.
//!
//! `a id lsn from to amount currency` a transfer, `d|w id lsn wallet amount currency` a deposit or
//! withdrawal, `h id lsn from to amount currency` a hold, `c id lsn hold from to amount currency` a
//! capture, `v hold lsn` a void, `r id code` a refusal.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::ids::write_id;
use crate::money::Currency;

/// Bytes after which a buffer is written at once; otherwise the run flushes it every `FLUSH_MILLIS`.
const BUFFER_BYTES: usize = 64 * 1024;
pub const FLUSH_MILLIS: u64 = 100;

#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("cannot use the list of acknowledged outcomes {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("line {line} of {path} is not an acknowledged outcome: {text}")]
    Line { path: PathBuf, line: u64, text: String },
}

/// The file, shared by the threads of a run: each appends whole lines through its own [`Writer`].
#[derive(Clone, Debug)]
pub struct List(Option<Arc<(PathBuf, File)>>);

impl List {
    /// Opens the list for appending. A half line at its end (the run before was killed while it wrote)
    /// is cut off: its outcome was never known for certain.
    pub fn open(path: Option<&Path>) -> Result<Self, ListError> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let failed = |source| ListError::File { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(path);
        let mut file = file.map_err(failed)?;
        cut_half_line(&mut file).map_err(failed)?;
        Ok(Self(Some(Arc::new((path.to_owned(), file)))))
    }

    pub fn writer(&self) -> Writer {
        Writer { file: self.0.clone(), buffer: Vec::new(), failure: None }
    }
}

fn cut_half_line(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut tail = Vec::new();
    let from = length.saturating_sub(4096);
    file.seek(SeekFrom::Start(from))?;
    file.read_to_end(&mut tail)?;
    if tail.last().is_some_and(|byte| *byte != b'\n') {
        let kept = tail.iter().rposition(|byte| *byte == b'\n');
        let kept = kept.map_or(0, |at| u64::try_from(at + 1).unwrap_or(0));
        file.set_len(from + kept)?;
    }
    Ok(())
}

/// One thread's buffer before the file. A failed write is kept and told at the end.
#[derive(Debug)]
pub struct Writer {
    file: Option<Arc<(PathBuf, File)>>,
    buffer: Vec<u8>,
    failure: Option<io::Error>,
}

impl Writer {
    pub fn is_on(&self) -> bool {
        self.file.is_some()
    }

    /// `tag id lsn wallets.. amount currency`; for a deposit there is one wallet, for a capture the
    /// hold comes first.
    pub fn accepted(&mut self, tag: u8, id: &Uuid, lsn: u64, names: &[Uuid], amount_minor: u64, currency: &Currency) {
        if self.file.is_none() {
            return;
        }
        let out = &mut self.buffer;
        out.extend_from_slice(&[tag, b' ']);
        write_id(id, out);
        out.push(b' ');
        write_number(lsn, out);
        for name in names {
            out.push(b' ');
            write_id(name, out);
        }
        out.push(b' ');
        currency.write(amount_minor, out);
        out.push(b' ');
        out.extend_from_slice(currency.code.as_bytes());
        self.end_line();
    }

    pub fn voided(&mut self, hold: &Uuid, lsn: u64) {
        if self.file.is_some() {
            self.buffer.extend_from_slice(format!("v {hold} {lsn}").as_bytes());
            self.end_line();
        }
    }

    pub fn refused(&mut self, id: &Uuid, code: &str) {
        if self.file.is_some() {
            self.buffer.extend_from_slice(format!("r {id} {code}").as_bytes());
            self.end_line();
        }
    }

    pub fn flush(&mut self) {
        if let Some(shared) = &self.file
            && !self.buffer.is_empty()
        {
            // One write call a flush, of whole lines, to a file opened for appending: the lines of
            // several threads do not mix.
            if let Err(source) = (&shared.1).write_all(&self.buffer) {
                self.failure.get_or_insert(source);
            }
            self.buffer.clear();
        }
    }

    /// Flushes, and tells whether anything failed to be written.
    pub fn close(mut self) -> Result<(), ListError> {
        self.flush();
        match (self.failure.take(), &self.file) {
            (Some(source), Some(shared)) => Err(ListError::File { path: shared.0.clone(), source }),
            _ => Ok(()),
        }
    }

    fn end_line(&mut self) {
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush();
        }
    }
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    let mut text = [0; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + u8::try_from(number % 10).expect("a digit fits a byte");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

/// One line of the list, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Transfer { id: Uuid, lsn: u64, from: Uuid, to: Uuid, amount: Amount },
    Deposit { id: Uuid, lsn: u64, wallet: Uuid, amount: Amount },
    Withdrawal { id: Uuid, lsn: u64, wallet: Uuid, amount: Amount },
    Hold { id: Uuid, lsn: u64, from: Uuid, to: Uuid, amount: Amount },
    Capture { id: Uuid, lsn: u64, hold: Uuid, from: Uuid, to: Uuid, amount: Amount },
    Void { hold: Uuid, lsn: u64 },
    Refused { id: Uuid, code: String },
}

/// Amount and currency as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    pub amount: String,
    pub currency: String,
}

/// Reads the list from its start; a half line at its end is left out.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    line: u64,
    text: String,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Self, ListError> {
        let file = File::open(path).map_err(|source| ListError::File { path: path.to_owned(), source })?;
        Ok(Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(BUFFER_BYTES, file),
            line: 0,
            text: String::new(),
        })
    }
}

impl Iterator for Reader {
    type Item = Result<Line, ListError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.text.clear();
        if let Err(source) = self.file.read_line(&mut self.text) {
            let path = self.path.clone();
            return Some(Err(ListError::File { path, source }));
        }
        let text = self.text.strip_suffix('\n')?;
        self.line += 1;
        Some(parse(text).ok_or_else(|| ListError::Line {
            path: self.path.clone(),
            line: self.line,
            text: text.to_owned(),
        }))
    }
}

fn parse(text: &str) -> Option<Line> {
    let mut fields = text.split(' ');
    let tag = fields.next()?;
    let mut next = || fields.next();
    let id = id(next())?;
    if tag == "r" {
        let code = next()?.to_owned();
        return Some(Line::Refused { id, code });
    }
    let lsn = next()?.parse().ok()?;
    let line = match tag {
        "v" => Line::Void { hold: id, lsn },
        "a" => {
            Line::Transfer { id, lsn, from: self::id(next())?, to: self::id(next())?, amount: amount(next(), next())? }
        }
        "h" => Line::Hold { id, lsn, from: self::id(next())?, to: self::id(next())?, amount: amount(next(), next())? },
        "d" => Line::Deposit { id, lsn, wallet: self::id(next())?, amount: amount(next(), next())? },
        "w" => Line::Withdrawal { id, lsn, wallet: self::id(next())?, amount: amount(next(), next())? },
        "c" => Line::Capture {
            id,
            lsn,
            hold: self::id(next())?,
            from: self::id(next())?,
            to: self::id(next())?,
            amount: amount(next(), next())?,
        },
        _ => return None,
    };
    next().is_none().then_some(line)
}

fn id(text: Option<&str>) -> Option<Uuid> {
    Uuid::try_parse(text?).ok()
}

fn amount(amount: Option<&str>, currency: Option<&str>) -> Option<Amount> {
    Some(Amount { amount: amount?.to_owned(), currency: currency?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_a_half_line_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acknowledged");
        let inr = Currency::from_code("INR").unwrap();
        let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
        for _ in 0..2 {
            let mut writer = List::open(Some(&path)).unwrap().writer();
            writer.accepted(b'a', &a, 17, &[b, c], 1050, &inr);
            writer.accepted(b'c', &a, 18, &[a, b, c], 1, &inr);
            writer.accepted(b'd', &b, 19, &[c], 500, &inr);
            writer.voided(&c, 20);
            writer.refused(&b, "WALLET_FROZEN");
            writer.close().unwrap();
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(b"a 0000-half a li").unwrap();
        }
        let lines: Vec<Line> = Reader::open(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[..5], lines[5..]);
        let amount = |text: &str| Amount { amount: text.to_owned(), currency: "INR".to_owned() };
        assert_eq!(lines[0], Line::Transfer { id: a, lsn: 17, from: b, to: c, amount: amount("10.50") });
        assert_eq!(lines[1], Line::Capture { id: a, lsn: 18, hold: a, from: b, to: c, amount: amount("0.01") });
        assert_eq!(lines[2], Line::Deposit { id: b, lsn: 19, wallet: c, amount: amount("5.00") });
        assert_eq!(lines[3], Line::Void { hold: c, lsn: 20 });
        assert_eq!(lines[4], Line::Refused { id: b, code: "WALLET_FROZEN".to_owned() });
    }

    #[test]
    fn a_bad_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acknowledged");
        std::fs::write(&path, "v 00000000-0000-0000-0000-000000000003 20\nhello\n").unwrap();
        let found: Vec<_> = Reader::open(&path).unwrap().collect();
        assert!(found[0].is_ok());
        assert!(matches!(&found[1], Err(ListError::Line { line: 2, .. })));
    }
}
