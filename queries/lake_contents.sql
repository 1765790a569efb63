-- What does this lake hold: which accounts and VPCs, from when to when, how many records?
SELECT
    account_id,
    vpc_id,
    count(*) AS records,
    count(DISTINCT interface_id) AS interfaces,
    count(DISTINCT source) AS sources,
    min(start) AS first_seen,
    max("end") AS last_seen
FROM flows
GROUP BY account_id, vpc_id
ORDER BY account_id NULLS LAST, vpc_id NULLS LAST;
