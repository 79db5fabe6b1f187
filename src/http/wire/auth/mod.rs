//! Signing in on the wire: codes, passwords, second factors, sessions, confirmations.

mod answers;
mod requests;

pub use answers::{
    CodeSent, ConfirmationAnswer, ConfirmationAsked, CredentialsAnswer, DoneAnswer, EnrolmentAnswer, GrantAnswer,
    RecoveryCodesAnswer, SessionAnswer, Shown, SignInAnswer,
};
pub use requests::{
    CodeRequest, ConfirmationRequest, FactorRequest, PasswordChange, PasswordRequest, RefreshRequest,
    SecondFactorRequest, VerifyRequest,
};

pub(in crate::http::wire) fn schemas(list: &mut Vec<crate::http::openapi::NamedSchema>) {
    use crate::http::openapi::add;
    add::<CodeRequest<'_>>(list);
    add::<VerifyRequest<'_>>(list);
    add::<PasswordRequest<'_>>(list);
    add::<PasswordChange<'_>>(list);
    add::<SecondFactorRequest<'_>>(list);
    add::<FactorRequest<'_>>(list);
    add::<RefreshRequest<'_>>(list);
    add::<ConfirmationRequest<'_>>(list);
    add::<CodeSent>(list);
    add::<SignInAnswer>(list);
    add::<GrantAnswer>(list);
    add::<CredentialsAnswer>(list);
    add::<SessionAnswer>(list);
    add::<EnrolmentAnswer>(list);
    add::<RecoveryCodesAnswer>(list);
    add::<ConfirmationAsked>(list);
    add::<ConfirmationAnswer>(list);
    add::<DoneAnswer>(list);
}
