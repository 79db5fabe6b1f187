//! For development: messages as files in a folder, one .eml for each, where curl and an editor are all that one has. Codes can
//! be read there, so the server uses it only where nobody from outside can reach it.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lettre::message::Mailbox;

use super::smtp::{mail, sender};
use super::{Connector, Message, SendError, Sending, SmtpConfigError};

#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    from: Mailbox,
    /// What takes the place of a mail's address for a phone number or a push token.
    channel: &'static str,
}

impl Folder {
    pub fn new(path: &Path, from: &str, channel: &'static str) -> Result<Folder, SmtpConfigError> {
        Ok(Folder { path: path.to_owned(), from: sender(from)?, channel })
    }

    fn write(&self, message: &Message) -> Result<(), SendError> {
        let bytes = if self.channel == "email" {
            mail(message, &self.from)?.formatted()
        } else {
            let Message { to, subject, text, .. } = message;
            format!("To: {to}\nSubject: {}: {subject}\n\n{text}\n", self.channel).into_bytes()
        };
        let failed = |error: std::io::Error| SendError::Failed(error.to_string());
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(failed)?;
        let path = self.path.join(format!("{}.eml", message.id));
        let temporary = path.with_extension("tmp");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary).map_err(failed)?;
        file.write_all(&bytes).and_then(|()| std::fs::rename(&temporary, &path)).map_err(failed)
    }
}

impl Connector for Folder {
    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        Box::pin(async move { self.write(message).map(|()| None) })
    }
}
