//! Accounts: opening one, and what staff does with them.

use hyper::StatusCode;
use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::problem::{Code, Problem};
use super::wire::account::{AccountAnswer, BlockRequest, RegisteredAnswer, RegistrationRequest, RoleRequest};
use super::wire::auth::GrantAnswer;
use super::wire::{Page, parse_id_cursor, read};
use crate::services::standing::{self, Act};
use crate::services::{Fault, accounts, contact, handles, registration};
use crate::store::standing::Filter;
use crate::store::{Account, AccountState, AddressKind, Role};

pub(super) async fn open(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: RegistrationRequest<'_> = read(&call.body)?;
    let services = call.people()?;
    let registration = request.registration(call.optional_key()?)?;
    let registered = registration::register(services, &registration, &call.client()).await?;
    let addresses = accounts::addresses(services, &registered.account).await?;
    let answer = RegisteredAnswer {
        account: AccountAnswer::new(services, &registered.account, &addresses)?,
        session: GrantAnswer::new(services, registered.grant, registered.account.id),
    };
    Ok(Answer { replayed: registered.replayed, ..Answer::json(StatusCode::CREATED, &answer) })
}

pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let services = call.people()?;
    let query = call.query(&["limit", "cursor", "state", "role", "email", "phone", "handle"])?;
    let given = [AddressKind::Email, AddressKind::Phone, AddressKind::Handle];
    let mut given = given.into_iter().filter_map(|kind| Some((kind, query.text(kind.name())?)));
    let address = given.next();
    if given.next().is_some() {
        return Err(Problem::new(Code::InvalidRequest, "Give one of `email`, `phone` and `handle`."));
    }
    let filter = Filter {
        before: query.text("cursor").map(|text| parse_id_cursor('c', text)).transpose()?,
        state: query.text("state").map(state).transpose()?,
        role: query.text("role").map(role).transpose()?,
        address: address.map(|(kind, text)| digest(call, kind, text)).transpose()?,
    };
    let limit = query.limit()?;
    let list = accounts::list(services, &filter, limit).await?;
    let (list, next) = Page::cut(list, limit, 'c', |account| account.id);
    let mut data = Vec::with_capacity(list.len());
    for account in &list {
        data.push(shown(call, account).await?);
    }
    Ok(Answer::ok(&Page::new(data, next)))
}

pub(super) async fn get(call: &Call<'_>) -> Result<Answer, Problem> {
    let account = accounts::by_id(call.people()?, id(call)?).await?;
    Ok(Answer::ok(&shown(call, &account).await?))
}

pub(super) async fn act(call: &Call<'_>, act: Act) -> Result<Answer, Problem> {
    let id = id(call)?;
    let reason = if act == Act::Block {
        call.expect_json()?;
        let request: BlockRequest<'_> = read(&call.body)?;
        Some(request.reason()?)
    } else {
        None
    };
    let account = standing::act(call.people()?, call.principal, id, act, reason.as_deref()).await?;
    Ok(Answer::ok(&shown(call, &account).await?))
}

pub(super) async fn set_role(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let id = id(call)?;
    let request: RoleRequest<'_> = read(&call.body)?;
    let account = standing::set_role(call.people()?, call.principal, id, role(request.role()?)?).await?;
    Ok(Answer::ok(&shown(call, &account).await?))
}

/// Support and finance find somebody by what he tells them, and need not see more of it.
async fn shown(call: &Call<'_>, account: &Account) -> Result<AccountAnswer, Problem> {
    let services = call.people()?;
    let addresses = accounts::addresses(services, account).await?;
    let answer = AccountAnswer::new(services, account, &addresses)?;
    let is_whole = matches!(call.principal.role, Role::Risk | Role::Administrator);
    Ok(if is_whole { answer } else { answer.masked() })
}

fn id(call: &Call<'_>) -> Result<Uuid, Problem> {
    call.path_id().map(Uuid::from_u128)
}

fn digest(call: &Call<'_>, kind: AddressKind, text: &str) -> Result<(AddressKind, String), Problem> {
    let normal = match kind {
        AddressKind::Email => contact::email(text),
        AddressKind::Phone => contact::phone(text),
        AddressKind::Handle => handles::normal(text),
    };
    let services = call.people()?;
    normal.map(|address| (kind, accounts::address_digest(services, kind, &address))).map_err(Fault::into)
}

fn state(text: &str) -> Result<AccountState, Problem> {
    let wrong = || Problem::new(Code::InvalidRequest, "`state` is none of pending, active, blocked and closed.");
    AccountState::by_name(text).ok_or_else(wrong)
}

fn role(text: &str) -> Result<Role, Problem> {
    let wrong = || {
        let detail = "`role` is none of user, merchant, support, risk, finance and administrator.";
        Problem::new(Code::InvalidRequest, detail)
    };
    Role::by_name(text).ok_or_else(wrong)
}
