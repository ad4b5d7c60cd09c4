CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
CREATE ROLE billing_rw LOGIN;
CREATE TABLE orders AS SELECT n AS id, 'item ' || n AS item FROM generate_series(1, 42) n;
ALTER TABLE orders OWNER TO billing_rw;
GRANT SELECT ON orders TO alice, bob;
