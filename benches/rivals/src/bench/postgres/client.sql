\set amount random(1, 1000)
BEGIN;
INSERT INTO transfers (key, payer, payee, amount) VALUES (gen_random_uuid(), :a, :b, :amount) RETURNING id AS transfer \gset
SELECT balance FROM wallets WHERE id IN (:a, :b) ORDER BY id FOR UPDATE;
UPDATE wallets SET balance = balance - :amount WHERE id = :a RETURNING balance AS payer_after \gset
UPDATE wallets SET balance = balance + :amount WHERE id = :b RETURNING balance AS payee_after \gset
INSERT INTO entries VALUES
    (:transfer::bigint, :a::int, 0 - :amount::bigint, :payer_after::bigint),
    (:transfer::bigint, :b::int, :amount::bigint, :payee_after::bigint);
END;
