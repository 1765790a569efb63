-- What needs a look? Every alert as it stands now, the worst and newest first.
--
-- The first one is what alert_records.sql shows unless told otherwise.
SELECT
    severity, title, flows, confidence, detector, client_zone, client_addr, server_zone, server_addr, server_port,
    protocol, conversations, bytes, first_seen, status, last_seen, alert_id
FROM alerts
WHERE status <> 'closed'
ORDER BY severity_rank(severity) DESC, last_seen DESC, alert_id;
