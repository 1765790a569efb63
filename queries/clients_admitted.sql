-- Who was let in on PostgreSQL (5432) and HTTPS (443), and which rule let them?
--
-- What the Artos design asks of its security groups with describe-security-groups (`IpPermissions[?ToPort==5432]`
-- of the database, `[?ToPort==443]` of the EKS API, "check if source is the EKS nodes security group"), asked of the
-- traffic instead: not who may, but who did. A client in a zone that should not be there has another verdict than
-- `expected`.
SELECT
    server_zone,
    server_port,
    client_zone,
    verdict,
    rule,
    count(DISTINCT client_addr) AS clients,
    count(DISTINCT server_addr) AS servers,
    count(*) AS records,
    min(start) AS first_seen,
    max("end") AS last_seen
FROM flows
WHERE action = 'ACCEPT'
    AND client_addr IS NOT NULL
    AND list_contains(coalesce(getvariable('ports'), [5432, 443]), server_port)
GROUP BY server_zone, server_port, client_zone, verdict, rule
ORDER BY server_zone, server_port, client_zone, verdict, rule;
