-- Which rules carry traffic, and which invariants are hit?
--
-- "Regular audit of unused rules" (Artos): a rule that is not in this list carried nothing in this lake.
-- A record that two grants allowed together (egress and ingress) counts for both. `grant` and `invariant` are told by
-- the verdict, since only what is allowed is credited to grants.
WITH credit AS (
    SELECT unnest(string_split(rule, '+')) AS rule, verdict, client_addr, server_addr, server_port, start, "end"
    FROM flows
    WHERE rule IS NOT NULL
)
SELECT
    if(verdict IN ('expected', 'outage', 'stray'), 'grant', 'invariant') AS kind,
    rule,
    count(*) AS records,
    count(*) FILTER (WHERE verdict IN ('breach', 'outage')) AS against_the_map,
    count(DISTINCT client_addr) AS clients,
    count(DISTINCT server_addr) AS servers,
    count(DISTINCT server_port) AS ports,
    min(start) AS first_seen,
    max("end") AS last_seen
FROM credit
GROUP BY kind, rule
ORDER BY kind, records DESC, rule;
