#include "core/call.h"

#include "core/name.h"

#define STRING KV_FIELD_STRING
#define NUMBER KV_FIELD_NUMBER
#define END                                                                                        \
    {                                                                                              \
        NULL, KV_FIELD_END, 0, false, NULL                                                         \
    }

/* clang-format off */
static const struct kv_field_spec none[] = {END};
static const struct kv_field_spec session_args[] = {
    {"context", STRING, KV_CONTEXT_LEN - 1, true, "KSeF context, for example Nip:5265877635"}, END};
static const struct kv_field_spec close_args[] = {
    {"id", STRING, KV_ULID_LEN - 1, true, "the lease, as the session was answered"}, END};
static const struct kv_field_spec codes_args[] = {
    {"context", STRING, KV_CONTEXT_LEN - 1, true, "KSeF context in which the invoices are issued, for example Nip:5265877635"},
    {"seller", STRING, 10, true, "NIP of the seller on the invoices"},
    {"invoices", KV_FIELD_ARRAY, 64, true, "1 to 64 of {hash, date?}: SHA-256 of the invoice file in base64; its issue date (P_1) as 2026-02-01, if KOD I is wanted too"}, END};
static const struct kv_field_spec submit_args[] = {
    {"text", STRING, 16384, true, "the text that was signed, exactly"},
    {"signature", STRING, 8192, false, "its armoured OpenSSH signature; absent in an integration's own request"},
    {"newKeySignature", STRING, 8192, false, "enrolments: signature by the new key over the same text"},
    {"policy", STRING, 16384, false, "founding and policy requests: the policy text that they name"},
    {"private", KV_FIELD_ARRAY, 8, false, "reasons and names behind the text's commitments: {field, salt, value}"}, END};
static const struct kv_field_spec requests_args[] = {
    {"state", STRING, 16, false, "only those in this state: open, approved, done, denied, withdrawn, lapsed"}, END};
static const struct kv_field_spec request_args[] = {
    {"id", STRING, KV_ULID_LEN - 1, true, "the request"}, END};
static const struct kv_field_spec statement_args[] = {
    {"id", STRING, KV_ULID_LEN - 1, true, "the request"},
    {"key", STRING, KV_KEY_LEN - 1, true, "fingerprint of the key that will sign, ssh:SHA256:..."},
    {"decision", STRING, 8, true, "approve or deny"},
    {"person", STRING, KV_ID_LEN - 1, true, "who will sign"}, END};
static const struct kv_field_spec quorum_args[] = {
    {"requester", STRING, KV_ID_LEN + 12, false, "as if this person asked"}, END};
static const struct kv_field_spec self_sign_args[] = {
    {"id", STRING, KV_ID_LEN - 1, true, "the credential"},
    {"subject", STRING, 8, true, "seal or person"},
    {"commonName", STRING, 64, true, "name shown in the certificate"},
    {"organization", STRING, 64, false, "seal: the organisation's name"},
    {"nip", STRING, 10, true, "NIP of the subject"},
    {"givenName", STRING, 64, false, "person"},
    {"surname", STRING, 64, false, "person"},
    {"days", NUMBER, 730, false, "validity, 1 to 730; default 730"}, END};
static const struct kv_field_spec import_point_args[] = {
    {"id", STRING, KV_ID_LEN - 1, true, "the credential"}, END};
static const struct kv_field_spec import_args[] = {
    {"id", STRING, KV_ID_LEN - 1, true, "the credential"},
    {"point", STRING, 88, true, "the key to which the token is sealed, as the agent told it"},
    {"sealed", STRING, 344, true, "the token, sealed: base64"}, END};
static const struct kv_field_spec explain_args[] = {
    {"integration", STRING, KV_ID_LEN - 1, true, "the integration"},
    {"operation", STRING, 16, true, "an operation, for example session.open"},
    {"context", STRING, KV_CONTEXT_LEN - 1, true, "a KSeF context"}, END};
static const struct kv_field_spec records_args[] = {
    {"from", NUMBER, UINT32_MAX, false, "first record; default 0"},
    {"count", NUMBER, 256, false, "how many, 1 to 256; default 64"}, END};
static const struct kv_field_spec record_args[] = {
    {"n", STRING, 16, true, "number of the record"}, END};
static const struct kv_field_spec export_args[] = {
    {"private", KV_FIELD_BOOLEAN, 1, false, "reasons and names are exported too"}, END};
static const struct kv_field_spec verified_args[] = {
    {"records", NUMBER, UINT32_MAX, true, "records read"},
    {"size", NUMBER, UINT32_MAX, true, "size of the checkpoint"},
    {"root", STRING, 44, true, "its root"},
    {"exit", NUMBER, 255, true, "exit status of the verification"}, END};
static const struct kv_field_spec slot_args[] = {
    {"name", STRING, KV_ID_LEN - 1, true, "the slot"}, END};

static const struct kv_call_row rows[KV_CALL_COUNT] = {
    [KV_CALL_STATUS]       = {"status", "GET", "/v1/status", KV_ACCESS_ANYONE, true, none, "What state the agent is in, and what to do next."},
    [KV_CALL_HEALTH]       = {"health", "GET", "/v1/health", KV_ACCESS_ANYONE, true, none, "Whether the agent serves; no key is used."},
    [KV_CALL_FOUNDING]     = {"founding", "GET", "/v1/founding", KV_ACCESS_ANYONE, true, none, "What founding needs: the log key, and who has signed."},
    [KV_CALL_SESSION_OPEN] = {"session-open", "POST", "/v1/sessions", KV_ACCESS_INTEGRATION, false, session_args, "Open a KSeF session; answers with an access token."},
    [KV_CALL_SESSIONS]     = {"sessions", "GET", "/v1/sessions", KV_ACCESS_READER, false, none, "The sessions that live at KSeF, and who has leases of them."},
    [KV_CALL_SESSION_CLOSE] = {"session-close", "DELETE", "/v1/sessions/{id}", KV_ACCESS_INTEGRATION, false, close_args, "End a lease; with the last one the session is ended at KSeF."},
    [KV_CALL_OFFLINE_CODES] = {"offline-codes", "POST", "/v1/offline-codes", KV_ACCESS_INTEGRATION, false, codes_args, "Sign KOD II for invoices; all of them or none."},
    [KV_CALL_SUBMIT]       = {"submit", "POST", "/v1/submissions", KV_ACCESS_ANYONE, true, submit_args, "Hand in a signed text, from whomever."},
    [KV_CALL_REQUESTS]     = {"requests", "GET", "/v1/requests", KV_ACCESS_ANYONE, false, requests_args, "The requests and what they wait for."},
    [KV_CALL_REQUEST]      = {"request", "GET", "/v1/requests/{id}", KV_ACCESS_ANYONE, true, request_args, "One request, whole."},
    [KV_CALL_STATEMENT]    = {"statement", "GET", "/v1/requests/{id}/statement", KV_ACCESS_ANYONE, true, statement_args, "The exact text for a person to sign."},
    [KV_CALL_PERSONS]      = {"persons", "GET", "/v1/persons", KV_ACCESS_READER, false, none, "The persons, their duties and keys."},
    [KV_CALL_QUORUM]       = {"quorum", "GET", "/v1/quorum", KV_ACCESS_ANYONE, false, quorum_args, "Who can approve what, also with any one person away."},
    [KV_CALL_CREDENTIALS]  = {"credentials", "GET", "/v1/credentials", KV_ACCESS_READER, false, none, "The credentials and where they live."},
    [KV_CALL_SELF_SIGN]    = {"self-sign", "POST", "/v1/credentials/{id}/self-sign", KV_ACCESS_ROOT, false, self_sign_args, "Give a credential a certificate signed by its own key (KSeF TEST only)."},
    [KV_CALL_IMPORT_POINT] = {"import-point", "GET", "/v1/credentials/{id}/import", KV_ACCESS_ROOT, false, import_point_args, "The key to which a KSeF token is sealed on its way into the slot."},
    [KV_CALL_IMPORT]       = {"import", "POST", "/v1/credentials/{id}/import", KV_ACCESS_ROOT, false, import_args, "Hand in a sealed KSeF token; it is tried once at KSeF."},
    [KV_CALL_INTEGRATIONS] = {"integrations", "GET", "/v1/integrations", KV_ACCESS_READER, false, none, "The registered integrations."},
    [KV_CALL_GRANTS]       = {"grants", "GET", "/v1/grants", KV_ACCESS_READER, false, none, "The grants and their states."},
    [KV_CALL_POLICY]       = {"policy", "GET", "/v1/policy", KV_ACCESS_ANYONE, false, none, "The active policy: text and sentences."},
    [KV_CALL_EXPLAIN]      = {"explain", "GET", "/v1/explain", KV_ACCESS_ANYONE, false, explain_args, "Whether an integration may do something, and why not."},
    [KV_CALL_RECORDS]      = {"records", "GET", "/v1/records", KV_ACCESS_READER, false, records_args, "Records of the ledger in order."},
    [KV_CALL_RECORD]       = {"record", "GET", "/v1/records/{n}", KV_ACCESS_READER, false, record_args, "One record with its documents, inclusion proof and checkpoint."},
    [KV_CALL_EXPORT]       = {"export", "POST", "/v1/exports", KV_ACCESS_READER, true, export_args, "Make a checkpoint and note that an export is made."},
    [KV_CALL_VERIFIED]     = {"verified", "POST", "/v1/verifications", KV_ACCESS_READER, false, verified_args, "Note the result of a verification."},
    [KV_CALL_SLOT_UNLOCK]  = {"slot-unlock", "POST", "/v1/slots/{name}/unlock", KV_ACCESS_ROOT, true, slot_args, "Try the slot's PIN source once more, after it was corrected."},
};
/* clang-format on */

const struct kv_call_row *kv_call_row(enum kv_call call)
{
    return &rows[call];
}

/* Match one path against a pattern; a `{name}` takes one segment of 1 to 64 plain characters. */
static bool match(const char *pattern, const char *path, struct kv_buf *args)
{
    while (*pattern != '\0') {
        if (*pattern != '{') {
            if (*pattern++ != *path++) {
                return false;
            }
            continue;
        }
        char name[16];
        size_t len = strcspn(pattern, "}") - 1;
        assert(len < sizeof name);
        memcpy(name, pattern + 1, len);
        name[len] = '\0';
        size_t value = strcspn(path, "/");
        if (value == 0 || value > 64) {
            return false;
        }
        if (args != NULL) {
            kv_message_text(args, name, kv_bytes(path, value));
        }
        pattern += len + 2;
        path += value;
    }
    return *path == '\0';
}

enum kv_code kv_call_route(const char *method, const char *path, enum kv_call *out,
                           struct kv_buf *args, struct kv_err *err)
{
    bool path_known = false;
    for (int i = 0; i < KV_CALL_COUNT; i++) {
        if (!match(rows[i].path, path, NULL)) {
            continue;
        }
        path_known = true;
        if (strcmp(method, rows[i].method) == 0) {
            (void)match(rows[i].path, path, args); /* matched above */
            *out = (enum kv_call)i;
            return KV_OK;
        }
    }
    return path_known ? KV_REFUSE(err, KV_E_METHOD, "%.64s does not take %.16s", path, method)
                      : KV_REFUSE(err, KV_E_NOT_FOUND, "there is no call %.64s", path);
}
