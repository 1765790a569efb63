//! A URL that is a secret.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;

/// Characters from which on a part of a path may be the secret in it.
const TELLING: usize = 6;

/// The URL of a webhook: whoever knows it may post there. It is shown by its scheme and host alone.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl {
    uri: Uri,
    shown: String,
}

impl SecretUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it; the URL is no part of that.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.trim().parse().map_err(|_| "give a URL that begins with https://")?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("give a URL that begins with https://");
        };
        if authority.as_str().contains('@') {
            return Err("give a URL without a user and a password");
        }
        let host = authority.host();
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        match scheme {
            "https" => {}
            "http" if here => {}
            _ => return Err("give a URL that begins with https://; http:// is for this machine alone (127.0.0.1)"),
        }
        let shown = format!("{scheme}://{authority}/…");
        Ok(Self { uri, shown })
    }

    /// The whole of it, to send to.
    pub(super) fn expose(&self) -> &Uri {
        &self.uri
    }

    /// A text of somebody else's without what is secret here, should it be in there.
    pub(super) fn redact(&self, text: &str) -> String {
        let secret = self.uri.path_and_query().map_or("", |path| path.as_str());
        let parts = secret.split(['/', '?', '&', '=']).filter(|part| part.len() >= TELLING);
        let mut text = text.replace(&self.uri.to_string(), &self.shown);
        for part in [secret].into_iter().filter(|path| path.len() > 1).chain(parts) {
            text = text.replace(part, "…");
        }
        text
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
