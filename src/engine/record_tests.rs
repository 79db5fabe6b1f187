//! Golden bytes of every layout: written once, read for ever.

use super::*;

fn inr() -> Currency {
    Currency::by_code("INR").expect("in the list")
}

fn amount(minor: i64) -> Amount {
    Amount::new(minor).expect("above zero")
}

fn events() -> Vec<(&'static str, Event)> {
    let transfer = |legs: &[(u128, i64)], reference: Option<&str>| {
        let legs = legs.iter().map(|&(wallet, amount)| Leg { wallet: WalletId(wallet), amount }).collect();
        Transfer::new(TransferId(0xA1), TransferKind::Deposit, inr(), legs, reference.map(Box::from)).expect("adds up")
    };
    vec![
        (
            "wallet-opened",
            Event::WalletOpened(Opening {
                wallet: WalletId(1),
                owner: OwnerId(2),
                currency: inr(),
                kind: Kind::Merchant,
                may_send: true,
                may_receive: false,
                limits: Limits { overdraft_limit: Some(5), balance_ceiling: None },
            }),
        ),
        ("status-changed", Event::StatusChanged { wallet: WalletId(1), status: Status::Frozen }),
        ("transferred-between", Event::Transferred(transfer(&[(3, 70), (1, -70)], Some("rent")))),
        ("transferred-legs", Event::Transferred(transfer(&[(1, -70), (2, 60), (3, 10)], None))),
        (
            "hold-authorized",
            Event::HoldAuthorized(Authorization {
                hold: HoldId(7),
                fingerprint: 8,
                payer: WalletId(1),
                payee: WalletId(2),
                currency: inr(),
                amount: amount(9),
                expires_at_micros: 10,
                reference: Some("room".into()),
            }),
        ),
        (
            "hold-captured",
            Event::HoldCaptured(Capture {
                id: TransferId(6),
                fingerprint: 5,
                hold: HoldId(7),
                payer: WalletId(1),
                payee: WalletId(2),
                currency: inr(),
                amount: amount(9),
                released: 1,
            }),
        ),
        (
            "hold-released",
            Event::HoldReleased { hold: HoldId(7), payer: WalletId(1), released: 3, end: HoldEnd::Expired },
        ),
        ("refused", Event::Refused { id: TransferId(4), fingerprint: 3, reject: Reject::InsufficientFunds }),
        (
            "spending-limited",
            Event::SpendingLimited {
                wallet: WalletId(1),
                limits: SpendingLimits {
                    per_payment: None,
                    per_day: Some(amount(500)),
                    per_month: Some(amount(1_000)),
                    utc_offset: UtcOffset::from_minutes(-30).expect("not above 18 hours"),
                },
            },
        ),
    ]
}

fn fixture() -> Vec<(String, Vec<u8>)> {
    include_str!("../../tests/fixtures/records-v1.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, hex) = line.split_once(' ').expect("a name and hex digits");
            let bytes = hex.as_bytes().chunks(2).map(|pair| {
                let digits = std::str::from_utf8(pair).expect("hex digits");
                u8::from_str_radix(digits, 16).expect("hex digits")
            });
            (name.to_owned(), bytes.collect())
        })
        .collect()
}

#[test]
fn golden_bytes_are_read_and_written() {
    let events = events();
    let fixture = fixture();
    assert_eq!(fixture.len(), events.len(), "every layout has its line");
    for ((name, event), (fixture_name, bytes)) in events.iter().zip(&fixture) {
        assert_eq!(name, fixture_name);
        let mut written = Vec::new();
        encode(event, &mut written);
        let hex: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(&written, bytes, "today's writer makes other bytes: {name} {hex}");
        assert_eq!(&decode(bytes).expect("golden"), event, "{name}");
    }
}

#[test]
fn damaged_bodies_are_refused_and_never_panic() {
    for (name, bytes) in fixture() {
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{name} cut to {length}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(matches!(decode(&longer), Err(RecordError::Surplus { surplus: 1 })), "{name}");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // It may be another valid event (the log's checksums tell), but reading must end well.
            drop(decode(&flipped));
        }
    }
}

#[test]
fn a_plain_transfer_takes_at_most_80_bytes() {
    let (_, event) = events().into_iter().nth(2).expect("the list has it");
    let Event::Transferred(transfer) = event else { panic!("it is a transfer") };
    let plain = Transfer::new(transfer.id(), transfer.kind(), inr(), transfer.legs().into(), None).expect("adds up");
    let mut bytes = Vec::new();
    encode_transfer(&plain, &mut bytes);
    assert_eq!(bytes.len(), 72);
    let mut by_fields = Vec::new();
    write(&body_of_transfer(&plain), &mut by_fields);
    assert_eq!(bytes, by_fields);
}

#[test]
fn a_plain_transfer_is_read_at_its_places_as_it_is_field_by_field() {
    let legs = |payer: u128, payee: u128, amount: i64| -> Legs {
        smallvec![Leg { wallet: WalletId(payer), amount: -amount }, Leg { wallet: WalletId(payee), amount }]
    };
    for (payer, payee, amount) in [(1, u128::MAX, 1), (u128::MAX / 3, 2, i64::MAX), (7 << 100, 9 << 90, 0x0102_0304)] {
        let transfer =
            Transfer::new(TransferId(payee ^ 5), TransferKind::Deposit, inr(), legs(payer, payee, amount), None);
        let event = Event::Transferred(transfer.expect("it adds up"));
        let mut bytes = Vec::new();
        encode(&event, &mut bytes);
        assert!(plain_transfer(&bytes).is_some(), "it has its fields at their places");
        assert_eq!(decode(&bytes).expect("well formed"), event);
        assert_eq!(decode_by_fields(&bytes).expect("well formed"), event);
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            // Only the id stands by itself; all else is in the fingerprint, or says what comes where.
            assert_eq!(decode(&wrong).is_ok(), (4..20).contains(&at), "byte {at}");
            assert_eq!(decode_by_fields(&wrong).is_ok(), (4..20).contains(&at), "byte {at}");
        }
    }
}
