//! From where a client really sends: the connection's other end, or, where that is a proxy that the operator named, whom the
//! proxy says it sends for. What anybody else writes into these headers is not looked at.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    pub networks: Vec<IpNet>,
    pub header: ProxyHeader,
}

/// The one header that the proxies write. The other would be passed on as the client sent it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ProxyHeader {
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl TrustedProxies {
    /// Each proxy appends whom it heard, so what is on the right is true as long as it was a trusted one that wrote it. At
    /// what cannot be read this stops, and the last proxy that is known counts as the client: so that nobody gains by it.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if self.networks.is_empty() || !self.trusts(client) {
            return client;
        }
        let name = match self.header {
            ProxyHeader::XForwardedFor => X_FORWARDED_FOR,
            ProxyHeader::Forwarded => FORWARDED,
        };
        for value in headers.get_all(name).iter().rev() {
            let Ok(list) = value.to_str() else { return client };
            for hop in list.rsplit(',') {
                let Some(address) = self.read(hop.trim()) else { return client };
                client = address;
                if !self.trusts(client) {
                    return client;
                }
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    fn read(&self, hop: &str) -> Option<IpAddr> {
        match self.header {
            ProxyHeader::XForwardedFor => node(hop),
            ProxyHeader::Forwarded => {
                let pairs = hop.split(';').filter_map(|pair| pair.trim().split_once('='));
                let mut named = pairs.filter(|(name, _)| name.eq_ignore_ascii_case("for"));
                let (_, value) = named.next()?;
                let value = value.strip_prefix('"').map_or(Some(value), |quoted| quoted.strip_suffix('"'))?;
                if named.next().is_some() { None } else { node(value) }
            }
        }
    }
}

/// An address, perhaps with a port, and perhaps in brackets.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(header: ProxyHeader, peer: &str, lines: &[&str], client: &str) {
        let networks = ["10.0.0.0/8", "fd00::/8"].iter().map(|network| network.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        let name = if header == ProxyHeader::Forwarded { FORWARDED } else { X_FORWARDED_FOR };
        for line in lines {
            headers.append(&name, HeaderValue::from_str(line).unwrap());
        }
        let found = TrustedProxies { networks, header }.client(peer.parse().unwrap(), &headers);
        assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{lines:?} from {peer}");
    }

    #[test]
    fn the_right_most_stranger_is_the_client() {
        let check = |peer, lines: &[&str], client| check(ProxyHeader::XForwardedFor, peer, lines, client);
        check("10.0.0.1", &["203.0.113.7"], "203.0.113.7");
        check("::ffff:10.0.0.1", &["203.0.113.7"], "203.0.113.7");
        // Whatever the client wrote itself stands further left.
        check("10.0.0.1", &["1.1.1.1, 203.0.113.7"], "203.0.113.7");
        check("10.0.0.1", &["1.1.1.1, 203.0.113.7, 10.9.9.9"], "203.0.113.7");
        check("10.0.0.1", &["1.1.1.1", "203.0.113.7 ,10.9.9.9"], "203.0.113.7");
        check("10.0.0.1", &["203.0.113.7:4711"], "203.0.113.7");
        check("fd00::1", &["[2001:db8::1]:4711"], "2001:db8::1");
        check("fd00::1", &["2001:db8::1"], "2001:db8::1");
        check("10.0.0.1", &["10.2.2.2, 10.9.9.9"], "10.2.2.2");
        check("10.0.0.1", &[], "10.0.0.1");
    }

    #[test]
    fn strangers_are_not_believed() {
        for header in [ProxyHeader::XForwardedFor, ProxyHeader::Forwarded] {
            check(header, "203.0.113.1", &["198.51.100.1"], "203.0.113.1");
            check(header, "203.0.113.1", &["for=198.51.100.1"], "203.0.113.1");
        }
        // Only the header that the proxies write counts.
        check(ProxyHeader::XForwardedFor, "10.0.0.1", &["for=198.51.100.1"], "10.0.0.1");
        check(ProxyHeader::Forwarded, "10.0.0.1", &["198.51.100.1"], "10.0.0.1");
    }

    #[test]
    fn what_cannot_be_read_counts_as_the_proxy_behind_it() {
        for broken in ["unknown", "", "203.0.113", "203.0.113.7 1", "_hidden", "[203.0.113.7", "1.2.3.4:x"] {
            let line = format!("203.0.113.7, {broken}");
            check(ProxyHeader::XForwardedFor, "10.0.0.1", &[&line], "10.0.0.1");
            let line = format!("203.0.113.7, {broken}, 10.9.9.9");
            check(ProxyHeader::XForwardedFor, "10.0.0.1", &[&line], "10.9.9.9");
        }
    }

    #[test]
    fn forwarded_by_rfc_7239() {
        let check = |lines: &[&str], client| check(ProxyHeader::Forwarded, "10.0.0.1", lines, client);
        check(&["for=192.0.2.60;proto=http;by=203.0.113.43"], "192.0.2.60");
        check(&["For=1.1.1.1, proto=https; FOR=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17");
        check(&["for=1.1.1.1, for=\"192.0.2.60:80\", for=10.3.3.3"], "192.0.2.60");
        check(&["for=1.1.1.1, for=unknown"], "10.0.0.1");
        check(&["for=1.1.1.1, proto=https"], "10.0.0.1");
        check(&["for=1.1.1.1;for=2.2.2.2"], "10.0.0.1");
        check(&["for=\"1.1.1.1"], "10.0.0.1");
    }
}
