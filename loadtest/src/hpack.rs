//! Heads of HTTP/2: requests written from their HTTP/1.1 form, and the status read from an answer. The server has been
//! told to keep no table for its answers, so that one can be read without the ones before.

/// The headers that the server keeps for us, oldest first: those that do not change from one request to the next.
#[derive(Debug, Default)]
pub struct Table {
    kept: Vec<(Vec<u8>, Vec<u8>)>,
    kept_bytes: usize,
}

/// Less than the 4,096 bytes that every server keeps, so that nothing is ever dropped and the numbers stay.
const KEPT_BYTES_MAX: usize = 2_000;
/// What an entry counts beside name and value (RFC 7541, 4.1).
const ENTRY_BYTES: usize = 32;
/// Number of the newest entry.
const NEWEST: usize = 62;

impl Table {
    /// Appends the head of the request, and gives its body.
    pub fn encode<'r>(&mut self, request: &'r [u8], out: &mut Vec<u8>) -> Option<&'r [u8]> {
        let (line, mut rest) = split_line(request)?;
        let mut words = line.split(|byte| *byte == b' ');
        let (method, path) = (words.next()?, words.next()?);
        // The numbers of POST, GET, and http in the table that never changes.
        out.push(if method == b"POST" { 0x83 } else { 0x82 });
        out.push(0x86);
        self.field(b":path", path, method == b"POST" && path.len() < 40, out);
        loop {
            let (line, after) = split_line(rest)?;
            rest = after;
            if line.is_empty() {
                return Some(rest);
            }
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            match name {
                b"Host" => self.field(b":authority", value, true, out),
                b"Authorization" => self.field(b"authorization", value, true, out),
                b"Content-Type" => self.field(b"content-type", value, true, out),
                b"Content-Length" => self.field(b"content-length", value, false, out),
                b"Idempotency-Key" => self.field(b"idempotency-key", value, false, out),
                _ => return None,
            }
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8], is_kept: bool, out: &mut Vec<u8>) {
        let found = self.kept.iter().rposition(|(kept, known)| kept == name && known == value);
        if let Some(index) = found {
            let number = NEWEST + self.kept.len() - 1 - index;
            out.push(0x80 | u8::try_from(number).expect("2,000 bytes are 60 entries at most"));
            return;
        }
        let bytes = name.len() + value.len() + ENTRY_BYTES;
        if is_kept && self.kept_bytes + bytes <= KEPT_BYTES_MAX {
            out.push(0x40);
            self.kept.push((name.to_vec(), value.to_vec()));
            self.kept_bytes += bytes;
        } else {
            out.push(0);
        }
        text(name, out);
        text(value, out);
    }
}

/// The status of an answer, which is the first field of its head.
pub fn status(mut block: &[u8]) -> Option<u16> {
    // Changes of the table's size stand before.
    while block.first()? & 0xE0 == 0x20 {
        let ends = block.iter().skip(1).position(|byte| byte & 0x80 == 0).unwrap_or(0);
        block = if block[0] & 0x1F == 0x1F { block.get(ends + 2..)? } else { &block[1..] };
    }
    let (&first, rest) = block.split_first()?;
    if first & 0x80 != 0 {
        const KNOWN: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
        return KNOWN.get(usize::from(first & 0x7F).checked_sub(8)?).copied();
    }
    let name = if first & 0x40 != 0 { first & 0x3F } else { first & 0x0F };
    let (&length, value) = rest.split_first()?;
    let value = value.get(..usize::from(length & 0x7F))?;
    if !(8..=14).contains(&name) {
        return None;
    }
    if length & 0x80 == 0 {
        return std::str::from_utf8(value).ok()?.parse().ok();
    }
    // Huffman: 0 to 2 are five bits of their own value, 3 to 9 are six bits from 25 on.
    let bits = value.iter().take(4).fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte));
    let mut left = 8 * value.len().min(4);
    let mut take = |count: usize| {
        left = left.checked_sub(count)?;
        u16::try_from((bits >> left) & ((1 << count) - 1)).ok()
    };
    let mut number = 0;
    for _ in 0..3 {
        let five = take(5)?;
        let digit = if five <= 2 { five } else { (five * 2 + take(1)?).checked_sub(22).filter(|digit| *digit <= 9)? };
        number = number * 10 + digit;
    }
    Some(number)
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b'\r')?;
    Some((&bytes[..at], bytes.get(at + 2..)?))
}

fn text(text: &[u8], out: &mut Vec<u8>) {
    match u8::try_from(text.len()) {
        Ok(length) if length < 127 => out.push(length),
        _ => {
            out.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                out.push(0x80 | (rest & 0x7F) as u8);
                rest >>= 7;
            }
            out.push(rest as u8);
        }
    }
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_is_sent_once() {
        let mut table = Table::default();
        let request = b"POST /v1/transfers HTTP/1.1\r\nHost: a:1\r\nIdempotency-Key: k\r\nContent-Length: 2\r\n\r\n{}";
        let (mut first, mut second) = (Vec::new(), Vec::new());
        assert_eq!(table.encode(request, &mut first), Some(&b"{}"[..]));
        assert_eq!(table.encode(request, &mut second), Some(&b"{}"[..]));
        assert_eq!(second[..4], [0x83, 0x86, 0x80 | 63, 0x80 | 62]);
        assert_eq!(second[4..], first[first.len() - second.len() + 4..]);
    }

    #[test]
    fn statuses() {
        assert_eq!(status(&[0x88, 0]), Some(200));
        // As RFC 7541, C.6 has them: 302 and 307.
        assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
        assert_eq!(status(&[0x48, 0x83, 0x64, 0x0E, 0xFF]), Some(307));
        assert_eq!(status(&[0x20, 0x08, 0x03, b'2', b'0', b'1']), Some(201));
        assert_eq!(status(&[0x48, 0x83, 0x69, 0x90, 0xFF]), Some(431));
        assert_eq!(status(&[0x40, 0x01, b'x', 0]), None);
    }
}
