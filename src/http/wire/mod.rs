//! Wire types: what JSON the API takes and gives. Validation turns them into the ledger's types,
//! so that nothing behind the door sees text. No handler and no engine call here.

pub mod account;
pub mod administration;
pub mod api_key;
pub mod audit;
pub mod auth;
pub mod data_key;
mod hold;
mod json;
mod money;
pub mod my_money;
pub mod notification;
mod page;
mod raw;
mod scalar;
mod spending;
mod summary;
mod transfer;
mod wallet;

pub use hold::{CaptureRequest, HoldAnswer, HoldRequest};
pub use json::{read, read_item, read_list};
pub use money::{Money, RawMoney, limit};
pub use page::{
    EntryAnswer, HistoryEntryAnswer, Page, cursor_text, parse_cursor, parse_id_cursor, parse_row_cursor,
    row_cursor_text,
};
pub use raw::Raw;
pub use scalar::{Id, Time, now_micros, parse_id, parse_time};
pub use spending::{MyLimitsAnswer, MyLimitsRequest, SpendingLimitsAnswer, SpendingLimitsRequest};
pub use summary::{CurrencyAnswer, SnapshotAnswer, SummaryAnswer};
pub use transfer::{
    BulkItem, BulkOutcome, FundingParts, FundingRequest, LegAnswer, RefusedTransfer, TransferAnswer, TransferParts,
    TransferRequest,
};
pub use wallet::{BalanceAnswer, BalanceThenAnswer, WalletAnswer, WalletRequest};

pub(super) fn schemas(list: &mut Vec<super::openapi::NamedSchema>) {
    use super::openapi::add;
    add::<Id>(list);
    add::<Time>(list);
    add::<Money>(list);
    add::<WalletRequest<'_>>(list);
    add::<WalletAnswer>(list);
    add::<BalanceAnswer>(list);
    add::<SpendingLimitsRequest<'_>>(list);
    add::<SpendingLimitsAnswer>(list);
    spending::schemas(list);
    my_money::schemas(list);
    add::<TransferRequest<'_>>(list);
    transfer::schemas(list);
    add::<FundingRequest<'_>>(list);
    add::<TransferAnswer<'_>>(list);
    add::<RefusedTransfer>(list);
    add::<BulkItem<'_>>(list);
    add::<BulkOutcome>(list);
    add::<HoldRequest<'_>>(list);
    add::<HoldAnswer>(list);
    add::<CaptureRequest<'_>>(list);
    add::<EntryAnswer>(list);
    add::<HistoryEntryAnswer>(list);
    add::<SummaryAnswer>(list);
    summary::schemas(list);
    add::<SnapshotAnswer>(list);
    account::schemas(list);
    administration::schemas(list);
    api_key::schemas(list);
    data_key::schemas(list);
    auth::schemas(list);
    audit::schemas(list);
    notification::schemas(list);
}
