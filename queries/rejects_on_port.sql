-- Which records on the database's port were rejected?
--
-- The filter pattern of the Artos design ("RDS Connection Failures: look for REJECT actions on port 5432"):
--     [version, account, eni, source, destination, srcport, destport="5432", protocol, packets, bytes,
--      windowstart, windowend, action="REJECT", flowlogstatus]
SELECT
    version, account_id, interface_id, srcaddr, dstaddr, srcport, dstport, protocol, packets, bytes, start, "end",
    action, log_status
FROM flows
WHERE action = 'REJECT' AND dstport = coalesce(getvariable('port'), 5432)
ORDER BY start NULLS LAST, source, line;
