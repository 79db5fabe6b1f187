//! Email by SMTP (RFC 5321), through lettre. How a mail is built is here, for the folder of a developer too.

use std::time::Duration;

use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::PoolConfig;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Connector, Message, SendError, Sending, story};

/// For each command and its answer.
const TIMEOUT: Duration = Duration::from_secs(20);
const CONNECTIONS_MAX: u32 = 4;

pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Why mail cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum SmtpConfigError {
    #[error("the mail server's address is not one: smtp://user@host:port, smtps://... or smtp://...?tls=required is")]
    Url(#[source] lettre::transport::smtp::Error),
    #[error("{text:?} is not a sender: Florin <wallet@example.in> is")]
    From { text: String, source: lettre::address::AddressError },
}

impl Smtp {
    /// TLS as the URL says: `smtps` from the first byte, `smtp` with `?tls=required` or `?tls=opportunistic` by STARTTLS.
    pub fn new(url: &SecretString, from: &str) -> Result<Smtp, SmtpConfigError> {
        let builder =
            AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret()).map_err(SmtpConfigError::Url)?;
        let pool = PoolConfig::new().max_size(CONNECTIONS_MAX).idle_timeout(Duration::from_secs(30));
        let transport = builder.timeout(Some(TIMEOUT)).pool_config(pool).build();
        Ok(Smtp { transport, from: sender(from)? })
    }
}

/// A name and an address, as mails are sent from.
pub(super) fn sender(text: &str) -> Result<Mailbox, SmtpConfigError> {
    text.parse().map_err(|source| SmtpConfigError::From { text: text.to_owned(), source })
}

impl Connector for Smtp {
    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        Box::pin(async move {
            let mail = mail(message, &self.from)?;
            match self.transport.send(mail).await {
                Ok(response) => Ok(response.first_line().map(|line| super::told(line, &message.to))),
                // What is wrong with the mail itself, or what the server will never take (RFC 5321: 5yz).
                Err(error) if error.is_permanent() || error.is_client() => {
                    Err(SendError::Refused(story(&error, &message.to)))
                }
                Err(error) => Err(SendError::Failed(story(&error, &message.to))),
            }
        })
    }
}

/// The mail with both parts. Whoever gets it twice can tell by its Message-ID.
pub(super) fn mail(message: &Message, from: &Mailbox) -> Result<lettre::Message, SendError> {
    let wrong = |error: &dyn std::error::Error| SendError::Refused(story(error, &message.to));
    let to: Address = message.to.parse().map_err(|error: lettre::address::AddressError| wrong(&error))?;
    let text = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(message.text.clone());
    let builder = lettre::Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(message.subject.clone())
        .message_id(Some(format!("<{}@{}>", message.id, from.email.domain())))
        .header(AutoSubmitted)
        .date_now();
    let built = match &message.html {
        Some(html) => {
            let html = SinglePart::builder().header(ContentType::TEXT_HTML).body(html.clone());
            builder.multipart(MultiPart::alternative().singlepart(text).singlepart(html))
        }
        None => builder.singlepart(text),
    };
    built.map_err(|error| wrong(&error))
}

/// Nobody's automatic answer should come back (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<AutoSubmitted, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(AutoSubmitted::name(), "auto-generated".to_owned())
    }
}

impl std::fmt::Debug for Smtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Smtp")
    }
}
