//! Who carries messages to people, by the command line: a mail server, gateways for SMS and push; and, for a developer's
//! server that nobody else can reach, a folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use florin::gateways::messages::{Connector, Folder, HttpGateway, Smtp};
use florin::services::notify::Messengers;
use secrecy::SecretString;

use super::failure::Failure;

/// Below the data folder.
const FOLDER: &str = "mail";

#[derive(Args, Clone, Debug)]
pub struct MessengerArgs {
    /// The mail server, as smtp://user@host:port (?tls=required for STARTTLS) or smtps://user@host. Others can read this command
    /// line: rather give a password by the variable. Without it, a server that listens on a loopback address writes mail
    /// and SMS into the data folder's mail/, and any other sends none
    #[arg(long, env = "FLORIN_SMTP_URL", hide_env_values = true, value_name = "URL")]
    smtp_url: Option<SecretString>,
    /// Whom mail comes from
    #[arg(long, default_value = "Florin <florin@localhost.localdomain>", value_name = "NAME <ADDRESS>")]
    mail_from: String,
    /// The gateway for SMS; docs/people.md has what it is asked
    #[arg(long, value_name = "URL")]
    sms_url: Option<String>,
    /// The key that the SMS gateway is called with
    #[arg(long, env = "FLORIN_SMS_KEY", hide_env_values = true, value_name = "KEY", hide = true)]
    sms_key: Option<SecretString>,
    /// The gateway for push messages
    #[arg(long, value_name = "URL")]
    push_url: Option<String>,
    /// The key that the push gateway is called with
    #[arg(long, env = "FLORIN_PUSH_KEY", hide_env_values = true, value_name = "KEY", hide = true)]
    push_key: Option<SecretString>,
}

impl MessengerArgs {
    /// Those that are configured, and the folder that takes their place where there is one.
    pub fn connect(&self, data_dir: &Path, listen: SocketAddr) -> Result<(Messengers, Option<PathBuf>), Failure> {
        let wrong = |error: &dyn std::error::Error| {
            let cause = error.source().map_or(String::new(), |cause| format!(": {cause}"));
            Failure::Usage(format!("{error}{cause}"))
        };
        let gateway = |url: &Option<String>, key: &Option<SecretString>, channel| match url {
            None => Ok(None),
            Some(url) => HttpGateway::new(url, key.clone(), channel)
                .map(|gateway| Some(Arc::new(gateway) as Arc<dyn Connector>))
                .map_err(|error| wrong(&error)),
        };
        let mut messengers = Messengers {
            email: None,
            sms: gateway(&self.sms_url, &self.sms_key, "sms")?,
            push: gateway(&self.push_url, &self.push_key, "push")?,
        };
        if let Some(url) = &self.smtp_url {
            messengers.email = Some(Arc::new(Smtp::new(url, &self.mail_from).map_err(|error| wrong(&error))?));
            return Ok((messengers, None));
        }
        // Codes would lie on the disk of a server that the world can reach.
        if !listen.ip().is_loopback() {
            return Ok((messengers, None));
        }
        let path = data_dir.join(FOLDER);
        let folder = |channel| {
            let folder = Folder::new(&path, &self.mail_from, channel).map_err(|error| wrong(&error))?;
            Ok::<_, Failure>(Some(Arc::new(folder) as Arc<dyn Connector>))
        };
        messengers.email = folder("email")?;
        if messengers.sms.is_none() {
            messengers.sms = folder("sms")?;
        }
        Ok((messengers, Some(path)))
    }
}
