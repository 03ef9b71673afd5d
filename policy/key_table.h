/* The keys of statements: C name, word, form of the value, whether "-" may stand for no value. A
 * key has the same form wherever it stands. Where "-" is tied to a case (KV_DASH_CASE), the rules
 * across lines (policy/statement_value.c) say which. */
#ifndef KV_POLICY_KEY_TABLE_H
#define KV_POLICY_KEY_TABLE_H

/* clang-format off */
#define KV_KEY_TABLE(X) \
X(VAULT, "vault", VAULT, NEVER) \
X(FROM_VAULT, "from-vault", VAULT, NEVER) \
X(POLICY, "policy", HASH, NEVER) \
X(REQUEST, "request", ULID, NEVER) \
X(REQUEST_SHA256, "request-sha256", HASH, NEVER) \
X(DECISION, "decision", DECISION, NEVER) \
X(ROLE, "role", SEAT, NEVER) \
X(APPROVER, "approver", ID, NEVER) \
X(APPROVER_KEY, "approver-key", KEY, NEVER) \
X(LOG_CHECKPOINT, "log-checkpoint", CHECKPOINT, NEVER) \
X(FROM_CHECKPOINT, "from-checkpoint", CHECKPOINT, NEVER) \
X(NONCE, "nonce", NONCE, NEVER) \
X(ISSUED, "issued", TIME, NEVER) \
X(REQUESTER, "requester", REQUESTER, CASE) \
X(REQUESTER_KEY, "requester-key", KEY, CASE) \
X(ACTION, "action", ACTION, NEVER) \
X(REASON_COMMITMENT, "reason-commitment", COMMITMENT, CASE) \
X(NOT_BEFORE, "not-before", TIME, NEVER) \
X(NOT_AFTER, "not-after", TIME, NEVER) \
X(ACT, "act", ACT, NEVER) \
X(TARGET, "target", TARGET, NEVER) \
X(ACTOR, "actor", ID, NEVER) \
X(ACTOR_KEY, "actor-key", KEY, NEVER) \
X(LOG_KEY, "log-key", LOG_KEY, NEVER) \
X(TEST, "test", YES_NO, NEVER) \
X(PERSONS, "persons", NUMBER, NEVER) \
X(PERSON_N, "person-", FOUNDER, NEVER) \
X(PUBLIC_KEY_N, "public-key-", PUBLIC_KEY, NEVER) \
X(POLICY_SHA256, "policy-sha256", HASH, NEVER) \
X(LANG, "lang", LANG, NEVER) \
X(SENTENCES, "sentences", NUMBER, NEVER) \
X(SENTENCE_N, "sentence-", PROSE, NEVER) \
X(ENDS_GRANTS, "ends-grants", NUMBER, NEVER) \
X(ENDS_GRANT_N, "ends-grant-", ULID, NEVER) \
X(PERSON, "person", ID, NEVER) \
X(DUTY, "duty", DUTY, NEVER) \
X(DUTY_FROM, "duty-from", DUTY, NEVER) \
X(DUTY_TO, "duty-to", DUTY, NEVER) \
X(ORGANISATION, "organisation", ID, NEVER) \
X(CONTRACT_END, "contract-end", TIME, ALWAYS) \
X(BUSINESS_DUTIES, "business-duties", ID_LIST, ALWAYS) \
X(UID, "uid", NUMBER, CASE) \
X(GID, "gid", NUMBER, ALWAYS) \
X(NAME_COMMITMENT, "name-commitment", COMMITMENT, ALWAYS) \
X(KEY, "key", KEY, CASE) \
X(PUBLIC_KEY, "public-key", PUBLIC_KEY, CASE) \
X(KEY_NOT_AFTER, "key-not-after", TIME, ALWAYS) \
X(REPLACES_KEY, "replaces-key", KEY, ALWAYS) \
X(CREDENTIAL, "credential", ID, NEVER) \
X(KIND, "kind", CRED_KIND, NEVER) \
X(KEY_TYPE, "key-type", KEY_TYPE, CASE) \
X(SLOT, "slot", ID, NEVER) \
X(ENVIRONMENT, "environment", ENVIRONMENT, NEVER) \
X(CONTEXT, "context", CONTEXT, NEVER) \
X(CONTEXTS, "contexts", CONTEXTS, NEVER) \
X(BUSINESS_OWNER, "business-owner", ID, NEVER) \
X(TECHNICAL_CUSTODIAN, "technical-custodian", ID, NEVER) \
X(KSEF_REF, "ksef-ref", KSEF_REF, ALWAYS) \
X(PUBLIC_KEY_SHA256, "public-key-sha256", HASH, ALWAYS) \
X(INTEGRATION, "integration", ID, CASE) \
X(PURPOSE, "purpose", PROSE, NEVER) \
X(OPERATIONS, "operations", OPERATIONS, CASE) \
X(UNIT, "unit", UNIT, ALWAYS) \
X(EXE, "exe", EXE, ALWAYS) \
X(EXE_SHA256, "exe-sha256", HASH, ALWAYS) \
X(REPLACES_REQUEST, "replaces-request", ULID, NEVER) \
X(CLASS, "class", CLASS, NEVER) \
X(MAX_USES, "max-uses", NUMBER, CASE) \
X(RATE, "rate", RATE, ALWAYS) \
X(BENEFICIARY, "beneficiary", ID, ALWAYS) \
X(INCIDENT, "incident", INCIDENT, NEVER) \
X(WAIVE, "waive", WAIVE, ALWAYS) \
X(GRANT, "grant", ULID, NEVER) \
X(COVERS, "covers", SPAN, NEVER) \
X(REQUESTED_BY, "requested-by", WHO, NEVER) \
X(APPROVED_BY, "approved-by", ID_LIST, NEVER) \
X(USED_BY, "used-by", WHO, ALWAYS) \
X(CLOSED_BY, "closed-by", ID, NEVER) \
X(USES, "uses", NUMBER, NEVER) \
X(REFUSED, "refused", NUMBER, NEVER) \
X(INVOICES, "invoices", TALLY, NEVER) \
X(FOREIGN_INVOICES, "foreign-invoices", TALLY, NEVER) \
X(ERRORS, "errors", TALLY, NEVER) \
X(STILL_OPEN, "still-open", STILL_OPEN, NEVER) \
X(ASKED_AT, "asked-at", TIME, NEVER) \
X(MANUAL_WORK, "manual-work", YES_NO, NEVER) \
X(MANUAL_WORK_COMMITMENT, "manual-work-commitment", COMMITMENT, ALWAYS) \
X(REASON_TRUE, "reason-true", YES_NO, NEVER) \
X(LEAST_PRIVILEGE, "least-privilege", YES_NO, NEVER) \
X(ROTATION, "rotation", ROTATION, NEVER) \
X(FOLLOW_UP, "follow-up", FOLLOW_UP, ALWAYS) \
X(LIFTED, "lifted", SEAT_LIST, ALWAYS) \
X(SUCCESSOR, "successor", ID, NEVER) \
X(UNTIL, "until", TIME, NEVER) \
X(EXCEPTION, "exception", ULID, NEVER) \
X(COMPENSATING_COMMITMENT, "compensating-commitment", COMMITMENT, NEVER) \
X(CONFLICT, "conflict", ID, NEVER) \
X(RECORD, "record", NUMBER, NEVER) \
X(FIELD, "field", ID, NEVER) \
X(BACKUP_SHA256, "backup-sha256", HASH, NEVER) \
X(LAST, "last", TIME, NEVER) \
X(NOW, "now", TIME, NEVER) \
X(SINCE, "since", TIME, NEVER) \
X(LEFT_ON, "left-on", DATE, NEVER) \
X(CAUSE, "cause", ID, NEVER) \
X(DONE_COMMITMENT, "done-commitment", COMMITMENT, NEVER) \
X(EVENT, "event", EVENT, NEVER) \
X(HAPPENED, "happened", TIME, NEVER)
/* clang-format on */

#endif
