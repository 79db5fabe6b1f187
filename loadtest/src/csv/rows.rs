//! Reads the file of transactions into accounts, each with its rows in order and the overdraft that they
//! need. A bad row is named by its line, before anything is sent.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use uuid::Uuid;

use crate::ids::from_name;
use crate::money::Currency;

const COLUMNS: [&str; 7] = ["trans_id", "account", "date", "direction", "operation", "amount", "balance_printed"];
/// A reference may have so many characters.
const OPERATION_CHARS_MAX: usize = 140;
const TRANS_ID_CHARS_MAX: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    #[error("cannot read {path}")]
    File { path: PathBuf, source: csv::Error },
    #[error("{path}: the first line must name the columns {}", COLUMNS.join(","))]
    Columns { path: PathBuf },
    #[error("{path}, line {line}: {what}")]
    Row { path: PathBuf, line: u64, what: String },
}

/// All accounts of a file.
#[derive(Debug)]
pub struct Book {
    pub currency: Currency,
    pub accounts: Vec<Account>,
    pub rows: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    /// The wallet, and its owner too.
    pub id: Uuid,
    /// The deepest debit that the running sum reaches; 0 if none.
    pub overdraft_minor: i64,
    pub sum_minor: i64,
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub trans_id: String,
    pub date: Date,
    pub money_in: bool,
    pub operation: String,
    pub amount_minor: i64,
}

impl Book {
    pub fn read(path: &Path, currency: Currency) -> Result<Self, RowsError> {
        let failed = |source| RowsError::File { path: path.to_owned(), source };
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(path).map_err(failed)?;
        if !reader.headers().map_err(failed)?.iter().eq(COLUMNS) {
            return Err(RowsError::Columns { path: path.to_owned() });
        }
        let mut accounts: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        let (mut seen, mut rows) = (HashSet::new(), 0);
        for record in reader.records() {
            let record = record.map_err(failed)?;
            let line = record.position().map_or(0, csv::Position::line);
            let wrong = |what| RowsError::Row { path: path.to_owned(), line, what };
            let (account, row) = parse(&record, &currency).map_err(wrong)?;
            if !seen.insert(row.trans_id.clone()) {
                return Err(wrong(format!("trans_id {} was there before", row.trans_id)));
            }
            rows += 1;
            accounts.entry(account).or_default().push(row);
        }
        let accounts = accounts.into_iter().map(|(name, rows)| Account::new(name, rows, &currency));
        let accounts = accounts.collect::<Result<_, _>>().map_err(|what| RowsError::Row {
            path: path.to_owned(),
            line: 0,
            what,
        })?;
        Ok(Self { currency, accounts, rows })
    }
}

impl Account {
    fn new(name: String, mut rows: Vec<Row>, currency: &Currency) -> Result<Self, String> {
        // The sort is stable: rows of one day and direction stay in the file's order. Money in comes
        // first, because the file does not give the order within a day.
        rows.sort_by_key(|row| (row.date, !row.money_in));
        let (mut sum, mut lowest) = (0_i64, 0_i64);
        for row in &rows {
            let signed = if row.money_in { row.amount_minor } else { -row.amount_minor };
            sum = sum.checked_add(signed).ok_or_else(|| format!("the sum of account {name} is too large"))?;
            lowest = lowest.min(sum);
        }
        let id = from_name(&format!("florin-csv:{}{name}", currency.code));
        Ok(Self { id, overdraft_minor: -lowest, sum_minor: sum, rows, name })
    }
}

fn parse(record: &csv::StringRecord, currency: &Currency) -> Result<(String, Row), String> {
    if record.len() != COLUMNS.len() {
        return Err(format!("{} fields, where {} are due", record.len(), COLUMNS.len()));
    }
    let (trans_id, account, date) = (&record[0], &record[1], &record[2]);
    let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible(trans_id) || trans_id.len() > TRANS_ID_CHARS_MAX {
        return Err(format!("trans_id '{trans_id}' must be 1 to {TRANS_ID_CHARS_MAX} visible ASCII characters"));
    }
    if account.trim().is_empty() {
        return Err("account is empty".to_owned());
    }
    let date: Date = date.parse().map_err(|_| format!("'{date}' is not a date such as 1993-01-31"))?;
    let money_in = match &record[3] {
        "in" => true,
        "out" => false,
        other => return Err(format!("direction '{other}' must be 'in' or 'out'")),
    };
    let operation = record[4].to_owned();
    if operation.chars().count() > OPERATION_CHARS_MAX {
        return Err(format!("operation is longer than {OPERATION_CHARS_MAX} characters"));
    }
    let amount_minor = currency.parse(&record[5]).map_err(|why| why.to_string())?;
    if amount_minor <= 0 {
        return Err(format!("amount {} must be above zero", &record[5]));
    }
    let row = Row { trans_id: trans_id.to_owned(), date, money_in, operation, amount_minor };
    Ok((account.to_owned(), row))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &str) -> Result<Book, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.csv");
        std::fs::write(&path, format!("{}\n{rows}", COLUMNS.join(","))).unwrap();
        let book = Book::read(&path, Currency::from_code("CZK").unwrap());
        book.map_err(|why| why.to_string().replace(&path.display().to_string(), "f"))
    }

    #[test]
    fn rows_in_order_and_the_overdraft_they_need() {
        let book = check(
            "3,9,1993-01-02,out,cash_out,50.00,0\n1,9,1993-01-01,out,cash_out,30.00,0\n\
             2,9,1993-01-01,in,cash_in,20.00,0\n4,9,1993-02-01,in,x,100.50,0\n5,10,1993-01-01,in,x,1,1\n",
        );
        let book = book.unwrap();
        assert_eq!((book.rows, book.accounts.len()), (5, 2));
        let nine = book.accounts.iter().find(|account| account.name == "9").unwrap();
        let order: Vec<&str> = nine.rows.iter().map(|row| row.trans_id.as_str()).collect();
        assert_eq!(order, ["2", "1", "3", "4"]);
        assert_eq!((nine.overdraft_minor, nine.sum_minor), (6000, 4050));
        assert_eq!(nine.id, from_name("florin-csv:CZK9"));
    }

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        let good = "1,9,1993-01-01,in,x,20.00,0\n";
        for (row, expected) in [
            ("2,9,1993-13-01,in,x,1,0", "f, line 3: '1993-13-01' is not a date such as 1993-01-31"),
            ("2,9,1993-01-01,up,x,1,0", "f, line 3: direction 'up' must be 'in' or 'out'"),
            ("2,9,1993-01-01,in,x,0,0", "f, line 3: amount 0 must be above zero"),
            ("2,,1993-01-01,in,x,1,0", "f, line 3: account is empty"),
            ("1,9,1993-01-01,in,x,1,0", "f, line 3: trans_id 1 was there before"),
            ("2,9,1993-01-01,in", "f, line 3: 4 fields, where 7 are due"),
            (
                "2,9,1993-01-01,in,x,1.005,0",
                "f, line 3: '1.005' is not an amount: give digits with at most 2 after the point",
            ),
        ] {
            assert_eq!(check(&format!("{good}{row}\n")).unwrap_err(), expected);
        }
    }
}
