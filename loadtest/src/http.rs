//! Cuts HTTP/1.1 answers out of the bytes read so far: status, the few headers that matter here, body.
//! It knows nothing of sockets, and nothing of what the bodies mean.

/// Longest head that is accepted; a server that sends more is not the one we speak to.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Longest body that is accepted: a bulk answer for 8,190 items is about 1 MiB.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One answer; the body is borrowed from the read buffer.
#[derive(Debug)]
pub struct Answer<'a> {
    pub status: u16,
    /// The server said that it gave the first answer again.
    pub replayed: bool,
    /// The server closes the connection after this answer.
    pub close: bool,
    pub body: &'a [u8],
}

/// Why the bytes are not an HTTP answer that can be read.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("not an HTTP answer")]
    Syntax(#[from] httparse::Error),
    #[error("the head of an answer is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    #[error("an answer has no readable length")]
    NoLength,
    #[error("the body of an answer is longer than {BODY_BYTES_MAX} bytes")]
    BodyTooLong,
    #[error("a chunk of a body is malformed")]
    Chunk,
}

/// Reads the answer that stands at the start of `input`, and says how many bytes it took. `None`:
/// not all of it is there yet. `scratch` holds a body that came in chunks.
pub fn read_answer<'a>(input: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<Option<(Answer<'a>, usize)>, AnswerError> {
    let mut headers = [httparse::EMPTY_HEADER; 48];
    let mut head = httparse::Response::new(&mut headers);
    let head_bytes = match head.parse(input)? {
        httparse::Status::Complete(count) => count,
        httparse::Status::Partial if input.len() > HEAD_BYTES_MAX => {
            return Err(AnswerError::HeadTooLong);
        }
        httparse::Status::Partial => return Ok(None),
    };
    let status = head.code.unwrap_or(0);
    let (mut length, mut chunked, mut replayed, mut close) = (None, false, false, false);
    for header in head.headers.iter() {
        // The length of the name is compared first: most headers are none of ours.
        match header.name.len() {
            14 if header.name.eq_ignore_ascii_case("content-length") => {
                length = parse_length(header.value);
            }
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                chunked = header.value.eq_ignore_ascii_case(b"chunked");
            }
            19 if header.name.eq_ignore_ascii_case("idempotent-replayed") => {
                replayed = header.value.eq_ignore_ascii_case(b"true");
            }
            10 if header.name.eq_ignore_ascii_case("connection") => {
                close = header.value.eq_ignore_ascii_case(b"close");
            }
            _ => {}
        }
    }
    let rest = &input[head_bytes..];
    let (body, body_bytes): (&[u8], usize) = if chunked {
        match read_chunks(rest, scratch)? {
            Some(taken) => (scratch.as_slice(), taken),
            None => return Ok(None),
        }
    } else {
        let length = match length {
            Some(length) => length,
            None if status == 204 || status == 304 => 0,
            None => return Err(AnswerError::NoLength),
        };
        if length > BODY_BYTES_MAX {
            return Err(AnswerError::BodyTooLong);
        }
        match rest.get(..length) {
            Some(body) => (body, length),
            None => return Ok(None),
        }
    };
    let answer = Answer { status, replayed, close, body };
    Ok(Some((answer, head_bytes + body_bytes)))
}

fn parse_length(value: &[u8]) -> Option<usize> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// Joins the chunks into `scratch`; gives the bytes taken, or `None` if the last chunk is not there.
fn read_chunks(input: &[u8], scratch: &mut Vec<u8>) -> Result<Option<usize>, AnswerError> {
    scratch.clear();
    let mut at = 0;
    loop {
        let (line_bytes, size) = match httparse::parse_chunk_size(&input[at..]) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(AnswerError::Chunk),
        };
        let size = usize::try_from(size).map_err(|_| AnswerError::BodyTooLong)?;
        if scratch.len().saturating_add(size) > BODY_BYTES_MAX {
            return Err(AnswerError::BodyTooLong);
        }
        at += line_bytes;
        let Some(chunk) = input.get(at..at + size + 2) else {
            return Ok(None);
        };
        if !chunk.ends_with(b"\r\n") {
            return Err(AnswerError::Chunk);
        }
        scratch.extend_from_slice(&chunk[..size]);
        at += size + 2;
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads all whole answers in `text`: status, body and flags of each, and the bytes left over.
    fn check(text: &str) -> Result<(Vec<String>, usize), AnswerError> {
        let (mut seen, mut at, mut scratch) = (Vec::new(), 0, Vec::new());
        while let Some((answer, taken)) = read_answer(&text.as_bytes()[at..], &mut scratch)? {
            let body = String::from_utf8_lossy(answer.body);
            let flags = (answer.replayed, answer.close);
            seen.push(format!("{} {body} {flags:?}", answer.status));
            at += taken;
        }
        Ok((seen, text.len() - at))
    }

    #[test]
    fn several_answers_in_one_read() {
        let one = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nIdempotent-Replayed: true\r\n\r\nhi";
        let two = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhalf";
        let (seen, left) = check(&format!("{one}{two}{cut}")).unwrap();
        assert_eq!(seen, ["201 hi (true, false)", "200 abcd (false, false)"]);
        assert_eq!(left, cut.len());
        let (seen, _) = check(&format!("{cut}-done")).unwrap();
        assert_eq!(seen, ["200 half-done (false, true)"]);
    }

    #[test]
    fn every_cut_of_an_answer_waits_for_the_rest() {
        let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        for cut in 0..whole.len() {
            let (seen, left) = check(&whole[..cut]).unwrap();
            assert!(seen.is_empty() && left == cut, "{cut}");
        }
    }

    #[test]
    fn what_is_not_an_answer() {
        assert!(matches!(check("SSH-2.0-x\r\n"), Err(AnswerError::Syntax(_))));
        let none = "HTTP/1.1 200 OK\r\n\r\n";
        assert!(matches!(check(none), Err(AnswerError::NoLength)));
        let bad = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n";
        assert!(matches!(check(bad), Err(AnswerError::Chunk)));
    }
}
