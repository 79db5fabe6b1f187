//! The normal form of emails, phone numbers and handles, by which they are compared, found and written to.

use email_address::{EmailAddress, Options};
use phonenumber::Mode;

use super::fault::{Fault, Why};
use crate::store::AddressKind;

const EMAIL_BYTES_MAX: usize = 254;
const PHONE_BYTES_MAX: usize = 40;

/// In lower case as a whole: the standard lets a mail server tell `A@x` from `a@x`, but none that people use does, and two
/// accounts that differ in nothing else would be a trap.
pub fn email(text: &str) -> Result<String, Fault> {
    let wrong = || Fault::no(Why::InvalidRequest, "`email` is not an email address like asha@example.in.");
    let text = text.trim();
    let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
    let is_plain = text.len() <= EMAIL_BYTES_MAX && !text.contains('"') && !text.contains(char::is_whitespace);
    if !is_plain || EmailAddress::parse_with_options(text, options).is_err() {
        return Err(wrong());
    }
    Ok(text.to_lowercase())
}

/// E.164: a plus, the country's code and the number, digits only.
pub fn phone(text: &str) -> Result<String, Fault> {
    let wrong = || {
        let detail = "`phone` is not a phone number with its country's code, like +91 98765 43210.";
        Fault::no(Why::InvalidRequest, detail)
    };
    let text = text.trim();
    if text.len() > PHONE_BYTES_MAX || !text.starts_with('+') {
        return Err(wrong());
    }
    let number = phonenumber::parse(None, text).map_err(|_| wrong())?;
    if !number.is_valid() || number.extension().is_some() {
        return Err(wrong());
    }
    Ok(number.format().mode(Mode::E164).to_string())
}

/// What somebody is found by, as it was typed: an email has an @ inside, a phone number begins with a plus, and anything
/// else is a handle, with an @ before it or without.
pub fn any(text: &str) -> Result<(AddressKind, String), Fault> {
    let text = text.trim();
    if text.starts_with('+') {
        return Ok((AddressKind::Phone, phone(text)?));
    }
    match text.strip_prefix('@') {
        Some(handle) => Ok((AddressKind::Handle, handle.to_lowercase())),
        None if text.contains('@') => Ok((AddressKind::Email, email(text)?)),
        None => Ok((AddressKind::Handle, text.to_lowercase())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_address_has_one_form() {
        for text in ["Asha.Rao@Example.IN", " asha.rao@example.in "] {
            assert_eq!(email(text).unwrap(), "asha.rao@example.in");
        }
        for text in ["+91 98765 43210", "+919876543210", "+91-98765-43210", "+91 (98765) 43210"] {
            assert_eq!(phone(text).unwrap(), "+919876543210", "{text}");
        }
        assert_eq!(any("@Asha").unwrap(), (AddressKind::Handle, "asha".to_owned()));
        assert_eq!(any("asha@x.in").unwrap().0, AddressKind::Email);
    }

    #[test]
    fn what_is_none_is_refused() {
        let long = format!("{}@example.in", "a".repeat(250));
        for text in [
            "",
            "asha",
            "asha@",
            "@x.in",
            "a@localhost",
            "a b@x.in",
            "A <a@x.in>",
            "a@[127.0.0.1]",
            "\"a\"@x.in",
            &long,
        ] {
            assert_eq!(email(text).unwrap_err().why(), Some(Why::InvalidRequest), "{text}");
        }
        for text in ["", "98765 43210", "+91", "+91 1", "+91 98765 43210 ext. 7", "+0000000000", "asha"] {
            assert_eq!(phone(text).unwrap_err().why(), Some(Why::InvalidRequest), "{text}");
        }
    }
}
