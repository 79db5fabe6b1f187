-- Wallets, transfers under a key that is used once, and two entries for each transfer.
CREATE TABLE wallets (id int PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0)) WITH (fillfactor = 50);
INSERT INTO wallets SELECT number, 100000000 FROM generate_series(1, :wallets) AS number;
CREATE TABLE transfers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key uuid NOT NULL UNIQUE,
    payer int NOT NULL,
    payee int NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE entries (
    transfer bigint NOT NULL,
    wallet int NOT NULL,
    amount bigint NOT NULL,
    balance_after bigint NOT NULL
);
CREATE FUNCTION transfer(with_key uuid, from_wallet int, to_wallet int, how_much bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    transfer_id bigint;
    payer_after bigint;
    payee_after bigint;
BEGIN
    INSERT INTO transfers (key, payer, payee, amount) VALUES (with_key, from_wallet, to_wallet, how_much)
        ON CONFLICT (key) DO NOTHING RETURNING id INTO transfer_id;
    IF transfer_id IS NULL THEN
        SELECT id INTO transfer_id FROM transfers WHERE key = with_key;
        RETURN transfer_id;
    END IF;
    PERFORM 1 FROM wallets WHERE id IN (from_wallet, to_wallet) ORDER BY id FOR UPDATE;
    UPDATE wallets SET balance = balance - how_much WHERE id = from_wallet RETURNING balance INTO payer_after;
    UPDATE wallets SET balance = balance + how_much WHERE id = to_wallet RETURNING balance INTO payee_after;
    INSERT INTO entries VALUES
        (transfer_id, from_wallet, -how_much, payer_after), (transfer_id, to_wallet, how_much, payee_after);
    RETURN transfer_id;
END $$;
