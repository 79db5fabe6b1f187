//! Wallets, holds and spending limits as rows of a snapshot. docs/formats.md has the same tables.

use crate::ledger::{
    Amount, Authorization, Currency, Event, Hold, Kind, Limits, Opening, OwnerId, Spending, SpendingLimits, SpentNow,
    Status, UtcOffset, Wallet, WalletId,
};

use super::record;

pub const KIND_WALLETS: u8 = 1;
pub const KIND_HOLDS: u8 = 2;
pub const KIND_SPENDINGS: u8 = 3;

/// id 16 | owner 16 | posted 8 | held 8 | overdraft limit 8 | balance ceiling 8 | currency 2 | kind 1 |
/// status 1 | flags 1 | zero 3. Little endian.
pub const WALLET_BYTES: usize = 72;

const MAY_SEND: u8 = 1;
const MAY_RECEIVE: u8 = 2;
const HAS_OVERDRAFT_LIMIT: u8 = 4;
const HAS_BALANCE_CEILING: u8 = 8;

/// A wallet as a snapshot has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WalletRow {
    pub opening: Opening,
    pub status: Status,
    pub posted: i64,
    pub held: i64,
}

/// Whatever a snapshot has a row of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SnapshotRow {
    Wallet(WalletRow),
    /// Comes after its wallet.
    Spending(WalletId, Spending),
    /// What has been captured of it.
    Hold(Authorization, i64),
}

/// A row of a snapshot makes no sense although its checksum fits.
#[derive(Debug, thiserror::Error)]
#[error("a row of the snapshot is not one that this program wrote: {0}")]
pub struct RowError(&'static str);

pub fn encode_wallet(wallet: &Wallet, owner: OwnerId, limits: Limits, out: &mut Vec<u8>) {
    let opening = wallet.opening(owner, limits);
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let flags = flag(opening.may_send, MAY_SEND)
        | flag(opening.may_receive, MAY_RECEIVE)
        | flag(limits.overdraft_limit.is_some(), HAS_OVERDRAFT_LIMIT)
        | flag(limits.balance_ceiling.is_some(), HAS_BALANCE_CEILING);
    out.extend_from_slice(&opening.wallet.0.to_le_bytes());
    out.extend_from_slice(&opening.owner.0.to_le_bytes());
    out.extend_from_slice(&wallet.posted().to_le_bytes());
    out.extend_from_slice(&wallet.held().to_le_bytes());
    out.extend_from_slice(&limits.overdraft_limit.unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&limits.balance_ceiling.unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&opening.currency.number().to_le_bytes());
    out.extend_from_slice(&[opening.kind as u8, wallet.status() as u8, flags, 0, 0, 0]);
}

/// Reads the rows of a block of wallets.
pub fn decode_wallets(bytes: &[u8]) -> impl Iterator<Item = Result<WalletRow, RowError>> {
    let surplus = (!bytes.len().is_multiple_of(WALLET_BYTES)).then_some(Err(RowError("half a wallet")));
    bytes.chunks_exact(WALLET_BYTES).map(decode_wallet).chain(surplus)
}

fn decode_wallet(row: &[u8]) -> Result<WalletRow, RowError> {
    let wide = |at: usize| u128::from_le_bytes(row[at..at + 16].try_into().expect("16 bytes"));
    let long = |at: usize| i64::from_le_bytes(row[at..at + 8].try_into().expect("8 bytes"));
    let flags = row[68];
    let currency = u16::from_le_bytes(row[64..66].try_into().expect("2 bytes"));
    let held = long(40);
    if held < 0 {
        return Err(RowError("held money below zero"));
    }
    Ok(WalletRow {
        opening: Opening {
            wallet: WalletId(wide(0)),
            owner: OwnerId(wide(16)),
            currency: Currency::by_number(currency).ok_or(RowError("an unknown currency"))?,
            kind: Kind::from_number(row[66]).ok_or(RowError("an unknown kind of wallet"))?,
            may_send: flags & MAY_SEND != 0,
            may_receive: flags & MAY_RECEIVE != 0,
            limits: Limits {
                overdraft_limit: (flags & HAS_OVERDRAFT_LIMIT != 0).then(|| long(48)),
                balance_ceiling: (flags & HAS_BALANCE_CEILING != 0).then(|| long(56)),
            },
        },
        status: Status::from_number(row[67]).ok_or(RowError("an unknown status"))?,
        posted: long(32),
        held,
    })
}

/// captured 8 | length of the record 2 | the record of its authorization, as in the log.
pub fn encode_hold(hold: &Hold, authorization: &Authorization, out: &mut Vec<u8>) {
    out.extend_from_slice(&hold.captured.to_le_bytes());
    let length_at = out.len();
    out.extend_from_slice(&[0; 2]);
    record::encode(&Event::HoldAuthorized(authorization.clone()), out);
    let length = u16::try_from(out.len() - length_at - 2).expect("a record's body is at most 4 KiB");
    out[length_at..length_at + 2].copy_from_slice(&length.to_le_bytes());
}

/// Reads the rows of a block of holds.
pub fn decode_holds(mut bytes: &[u8]) -> Result<Vec<(Authorization, i64)>, RowError> {
    let mut holds = Vec::new();
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_at_checked(10).ok_or(RowError("half a hold"))?;
        let captured = i64::from_le_bytes(head[..8].try_into().expect("8 bytes"));
        let length = u16::from_le_bytes([head[8], head[9]]);
        let (body, rest) = rest.split_at_checked(usize::from(length)).ok_or(RowError("half a hold"))?;
        let Ok(Event::HoldAuthorized(authorization)) = record::decode(body) else {
            return Err(RowError("a hold without its authorization"));
        };
        if captured < 0 || captured >= authorization.amount.minor() {
            return Err(RowError("a hold that is not open"));
        }
        holds.push((authorization, captured));
        bytes = rest;
    }
    Ok(holds)
}

/// wallet 16 | per payment 8 | per day 8 | per month 8 | spent on the day 8 | in its month 8 | day 4 | offset 2 | zero 2.
/// Little endian; 0: no limit.
const SPENDING_BYTES: usize = 64;

pub fn encode_spending(wallet: WalletId, spending: &Spending, out: &mut Vec<u8>) {
    let (limits, spent) = (spending.limits(), spending.spent());
    out.extend_from_slice(&wallet.0.to_le_bytes());
    for limit in [limits.per_payment, limits.per_day, limits.per_month] {
        out.extend_from_slice(&limit.map_or(0, Amount::minor).to_le_bytes());
    }
    out.extend_from_slice(&spent.day.to_le_bytes());
    out.extend_from_slice(&spent.month.to_le_bytes());
    out.extend_from_slice(&spending.day().to_le_bytes());
    out.extend_from_slice(&limits.utc_offset.minutes().to_le_bytes());
    out.extend_from_slice(&[0; 2]);
}

/// Reads the rows of a block of spending limits.
pub fn decode_spendings(bytes: &[u8]) -> impl Iterator<Item = Result<(WalletId, Spending), RowError>> {
    let surplus = (!bytes.len().is_multiple_of(SPENDING_BYTES)).then_some(Err(RowError("half a wallet's limits")));
    bytes.chunks_exact(SPENDING_BYTES).map(decode_spending).chain(surplus)
}

fn decode_spending(row: &[u8]) -> Result<(WalletId, Spending), RowError> {
    let long = |at: usize| i64::from_le_bytes(row[at..at + 8].try_into().expect("8 bytes"));
    let limit = |at: usize| match long(at) {
        0 => Ok(None),
        minor => Amount::new(minor).map(Some).ok_or(RowError("a spending limit below zero")),
    };
    let minutes = i16::from_le_bytes([row[60], row[61]]);
    let limits = SpendingLimits {
        per_payment: limit(16)?,
        per_day: limit(24)?,
        per_month: limit(32)?,
        utc_offset: UtcOffset::from_minutes(minutes).ok_or(RowError("an unknown offset from UTC"))?,
    };
    let spent = SpentNow { day: long(40), month: long(48) };
    if limits.is_none() || spent.day < 0 || spent.month < spent.day {
        return Err(RowError("spending limits that make no sense"));
    }
    let day = i32::from_le_bytes(row[56..60].try_into().expect("4 bytes"));
    let wallet = u128::from_le_bytes(row[..16].try_into().expect("16 bytes"));
    Ok((WalletId(wallet), Spending::restore(limits, day, spent)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Amount, HoldId, LimitsTable};

    #[test]
    fn rows_come_back_as_they_were() {
        let limits = Limits { overdraft_limit: Some(5), balance_ceiling: Some(1_000) };
        let opening = Opening {
            wallet: WalletId(1),
            owner: OwnerId(2),
            currency: Currency::by_code("KWD").expect("in the list"),
            kind: Kind::Store,
            may_send: false,
            may_receive: true,
            limits,
        };
        let wallet = Wallet::restore(&opening, LimitsTable::default().id(limits), Status::Frozen, 77, 7);
        let mut bytes = Vec::new();
        encode_wallet(&wallet, opening.owner, limits, &mut bytes);
        assert_eq!(bytes.len(), WALLET_BYTES);
        let rows: Vec<WalletRow> = decode_wallets(&bytes).collect::<Result<_, _>>().expect("well formed");
        assert_eq!(rows, [WalletRow { opening, status: Status::Frozen, posted: 77, held: 7 }]);
        bytes.push(0);
        assert!(decode_wallets(&bytes).any(|row| row.is_err()), "half a row is told");

        let authorization = Authorization {
            hold: HoldId(9),
            fingerprint: 1,
            payer: WalletId(1),
            payee: WalletId(2),
            currency: opening.currency,
            amount: Amount::new(100).expect("above zero"),
            expires_at_micros: 5,
            reference: Some("bike".into()),
        };
        let mut bytes = Vec::new();
        encode_hold(&Hold::restore(&authorization, 40), &authorization, &mut bytes);
        assert_eq!(decode_holds(&bytes).expect("well formed"), [(authorization, 40)]);
        for length in 1..bytes.len() {
            assert!(decode_holds(&bytes[..length]).is_err(), "cut to {length}");
        }

        let limits = SpendingLimits {
            per_payment: None,
            per_day: Amount::new(500),
            per_month: Amount::new(i64::MAX),
            utc_offset: UtcOffset::from_minutes(-90).expect("not above 18 hours"),
        };
        let spending = Spending::restore(limits, -1, SpentNow { day: 20, month: 300 });
        let mut bytes = Vec::new();
        encode_spending(WalletId(1 << 100), &spending, &mut bytes);
        assert_eq!(bytes.len(), SPENDING_BYTES);
        let rows: Vec<_> = decode_spendings(&bytes).collect::<Result<_, _>>().expect("well formed");
        assert_eq!(rows, [(WalletId(1 << 100), spending)]);
        bytes.pop();
        assert!(decode_spendings(&bytes).any(|row| row.is_err()), "half a row is told");
    }
}
