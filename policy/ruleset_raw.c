#include "policy/ruleset_raw.h"

#include "core/parse.h"
#include "core/yaml.h"

#define TEXT_MAX 64 /* bytes of a scalar */

#define TEXT(key, type, member, flags)                                                             \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), type, member, 1, TEXT_MAX)
#define NEEDED CYAML_FLAG_DEFAULT
#define OPT    CYAML_FLAG_OPTIONAL

static const cyaml_schema_field_t quorum_fields[] = {
    TEXT("finance", struct kv_raw_quorum, finance, NEEDED),
    TEXT("custodian", struct kv_raw_quorum, custodian, NEEDED),
    CYAML_FIELD_END,
};
#define QUORUM(key, action, flags)                                                                 \
    CYAML_FIELD_MAPPING_PTR(key, CYAML_FLAG_POINTER | (flags), struct kv_raw_approvals,            \
                            of[action], quorum_fields)
/* Not `found`: everybody named must sign it. */
static const cyaml_schema_field_t approvals_fields[] = {
    QUORUM("default", KV_ACTION_NONE, NEEDED),
    QUORUM("person.enrol", KV_ACTION_PERSON_ENROL, OPT),
    QUORUM("person.change", KV_ACTION_PERSON_CHANGE, OPT),
    QUORUM("key.enrol", KV_ACTION_KEY_ENROL, OPT),
    QUORUM("credential.create", KV_ACTION_CREDENTIAL_CREATE, OPT),
    QUORUM("credential.import", KV_ACTION_CREDENTIAL_IMPORT, OPT),
    QUORUM("integration.register", KV_ACTION_INTEGRATION_REGISTER, OPT),
    QUORUM("integration.change", KV_ACTION_INTEGRATION_CHANGE, OPT),
    QUORUM("grant", KV_ACTION_GRANT, OPT),
    QUORUM("policy", KV_ACTION_POLICY, OPT),
    QUORUM("resume", KV_ACTION_RESUME, OPT),
    QUORUM("emergency", KV_ACTION_EMERGENCY, OPT),
    QUORUM("review", KV_ACTION_REVIEW, OPT),
    QUORUM("rotate", KV_ACTION_ROTATE, OPT),
    QUORUM("destroy", KV_ACTION_DESTROY, OPT),
    QUORUM("exception.accept", KV_ACTION_EXCEPTION_ACCEPT, OPT),
    QUORUM("sod.accept", KV_ACTION_SOD_ACCEPT, OPT),
    QUORUM("priv.erase", KV_ACTION_PRIV_ERASE, OPT),
    QUORUM("restore", KV_ACTION_RESTORE, OPT),
    QUORUM("clock.reset", KV_ACTION_CLOCK_RESET, OPT),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t limits_fields[] = {
    TEXT("grant-days-max", struct kv_raw_limits, grant_days_max, OPT),
    TEXT("emergency-hours-max", struct kv_raw_limits, emergency_hours_max, OPT),
    TEXT("emergency-hours-default", struct kv_raw_limits, emergency_hours_default, OPT),
    TEXT("collect-hours", struct kv_raw_limits, collect_hours, OPT),
    TEXT("emergency-collect-hours", struct kv_raw_limits, emergency_collect_hours, OPT),
    TEXT("renew-days", struct kv_raw_limits, renew_days, OPT),
    TEXT("max-uses-default", struct kv_raw_limits, max_uses_default, OPT),
    TEXT("rate-max", struct kv_raw_limits, rate_max, OPT),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t text_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, TEXT_MAX),
};
#define TEXTS(key, member)                                                                         \
    CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | OPT, struct kv_raw_key_types, member,           \
                         &text_schema, 1, KV_PUBKEY_KIND_COUNT - 1)
static const cyaml_schema_field_t key_types_fields[] = {
    TEXTS("finance", finance),
    TEXTS("custodian", custodian),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t ruleset_fields[] = {
    TEXT("version", struct kv_raw_ruleset, version, NEEDED),
    CYAML_FIELD_MAPPING_PTR("approvals", CYAML_FLAG_POINTER, struct kv_raw_ruleset, approvals,
                            approvals_fields),
    CYAML_FIELD_MAPPING_PTR("limits", CYAML_FLAG_POINTER | OPT, struct kv_raw_ruleset, limits,
                            limits_fields),
    CYAML_FIELD_MAPPING_PTR("key-types", CYAML_FLAG_POINTER | OPT, struct kv_raw_ruleset, key_types,
                            key_types_fields),
    TEXT("token-logins", struct kv_raw_ruleset, token_logins, OPT),
    TEXT("custody-minimum", struct kv_raw_ruleset, custody_minimum, OPT),
    TEXT("on-exe-change", struct kv_raw_ruleset, on_exe_change, OPT),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t ruleset_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct kv_raw_ruleset, ruleset_fields),
};

/* The line without its comment: `#` at its start or behind a space (YAML 1.1, comments). Strings
 * in quotes, where this would be wrong, are not allowed. */
static struct kv_bytes without_comment(struct kv_bytes line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] == '#' && (i == 0 || line.ptr[i - 1] == ' ')) {
            return kv_bytes(line.ptr, i);
        }
    }
    return line;
}

static bool begins(struct kv_bytes line, const char *word)
{
    size_t len = strlen(word);
    return line.len >= len && memcmp(line.ptr, word, len) == 0;
}

/* libcyaml takes anchors and tags in silence, and reads only the first document. Policy texts need
 * none of it, nor quotes, block scalars or directives, so their characters are refused: what is
 * left of YAML means to every reader what it means to us. */
static const char *check_line(struct kv_bytes line, bool first)
{
    static const char allowed[] = " .,:/_-@{}[]";
    struct kv_bytes code = without_comment(line);
    if (begins(code, "...") || (begins(code, "---") && !first)) {
        return "begins or ends another document";
    }
    for (size_t i = 0; i < code.len; i++) {
        uint8_t c = code.ptr[i];
        if (!kv_is_lower(c) && !kv_is_upper(c) && !kv_is_digit(c) &&
            (c == 0 || strchr(allowed, c) == NULL)) {
            return "holds a character that a policy text does not use outside comments (tab, "
                   "quote, anchor, alias, tag, block)";
        }
    }
    size_t at = 0;
    uint32_t point;
    while (at < line.len) {
        if (!kv_utf8_next(line, &at, &point) || kv_char_hides(point)) {
            return "is not UTF-8, or holds a character that changes how it is shown (CR LF, tab, "
                   "control)";
        }
    }
    return NULL;
}

static bool take_line(struct kv_bytes *rest, struct kv_bytes *line)
{
    if (rest->len == 0) {
        return false;
    }
    const uint8_t *lf = memchr(rest->ptr, '\n', rest->len);
    size_t len = lf == NULL ? rest->len : (size_t)(lf - rest->ptr);
    *line = kv_bytes(rest->ptr, len);
    size_t skip = lf == NULL ? len : len + 1;
    *rest = kv_bytes(rest->ptr + skip, rest->len - skip);
    return true;
}

static enum kv_code check_characters(struct kv_bytes text, struct kv_err *err)
{
    struct kv_bytes rest = text, line;
    bool first = true;
    for (unsigned number = 1; take_line(&rest, &line); number++) {
        const char *what = check_line(line, first);
        if (what != NULL) {
            return KV_REFUSE(err, KV_E_POLICY_TEXT, "line %u %s", number, what);
        }
        first = first && without_comment(line).len == 0;
    }
    return KV_OK;
}

static bool ends_word(struct kv_bytes line, size_t at)
{
    return at >= line.len || strchr(" ,:{}[]", line.ptr[at]) != NULL;
}

/* `key:` as a whole word. */
static bool holds_key(struct kv_bytes line, const char *key)
{
    size_t len = strlen(key);
    for (size_t i = 0; i + len < line.len; i++) {
        if (memcmp(line.ptr + i, key, len) == 0 && line.ptr[i + len] == ':' &&
            (i == 0 || ends_word(line, i - 1))) {
            return true;
        }
    }
    return false;
}

unsigned kv_raw_ruleset_line(struct kv_bytes text, const char *parent, const char *key)
{
    struct kv_bytes rest = text, line;
    bool inside = parent[0] == '\0';
    for (unsigned number = 1; take_line(&rest, &line); number++) {
        line = without_comment(line);
        inside = inside || holds_key(line, parent);
        if (inside && holds_key(line, key)) {
            return number;
        }
    }
    return 0;
}

static enum kv_code complain(struct kv_bytes text, const struct kv_yaml_fault *fault,
                             struct kv_err *err)
{
    static const char unexpected[] = "Unexpected key: ";
    if (strncmp(fault->what, unexpected, sizeof unexpected - 1) == 0) {
        const char *key = fault->what + sizeof unexpected - 1;
        return KV_REFUSE(err, KV_E_POLICY_TEXT, "line %u: unknown key '%.60s'",
                         kv_raw_ruleset_line(text, "", key), key);
    }
    return KV_REFUSE(err, KV_E_POLICY_TEXT, "%.90s %.90s", fault->what, fault->where);
}

enum kv_code kv_raw_ruleset_load(struct kv_bytes text, struct kv_raw_ruleset **out,
                                 struct kv_err *err)
{
    if (text.len > KV_RULESET_BYTES_MAX) {
        return KV_REFUSE(err, KV_E_POLICY_TEXT, "the text has more than %d bytes",
                         KV_RULESET_BYTES_MAX);
    }
    enum kv_code code = check_characters(text, err);
    if (code != KV_OK) {
        return code;
    }
    struct kv_yaml_fault fault;
    void *raw = NULL;
    if (!kv_yaml_load(text, &ruleset_schema, &raw, &fault)) {
        return complain(text, &fault, err);
    }
    if (raw == NULL) { /* libcyaml: an empty text is no failure */
        return KV_REFUSE(err, KV_E_POLICY_TEXT, "the text is empty");
    }
    *out = raw;
    return KV_OK;
}

void kv_raw_ruleset_freep(struct kv_raw_ruleset **raw)
{
    kv_yaml_free(&ruleset_schema, *raw);
    *raw = NULL;
}
