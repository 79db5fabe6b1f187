//! The caller's own account.

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use super::wire::account::AccountAnswer;
use crate::services::accounts;

pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    let services = call.people()?;
    let account = accounts::by_id(services, call.principal.account).await?;
    let addresses = accounts::addresses(services, &account).await?;
    Ok(Answer::ok(&AccountAnswer::new(services, &account, &addresses)?))
}
