\set amount random(1, 1000)
SELECT transfer(gen_random_uuid(), :a, :b, :amount);
