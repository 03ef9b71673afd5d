/* Reading a parsed statement: typed values, and the forms that are made of parts. */
#include "policy/statement.h"

#include "core/parse.h"
#include "core/time.h"

static const char *const words[KV_KEY_COUNT] = {[KV_KEY_NONE] = "-",
#define KEY_WORD(name, word, form, dash) [KV_KEY_##name] = word,
                                                KV_KEY_TABLE(KEY_WORD)
#undef KEY_WORD
};

const char *kv_key_word(enum kv_key key)
{
    return words[key];
}

bool kv_key_numbered(enum kv_key key)
{
    const char *word = words[key];
    return key != KV_KEY_NONE && word[strlen(word) - 1] == '-';
}

bool kv_key_parse(struct kv_bytes word, enum kv_key *out, uint32_t *n)
{
    for (int i = KV_KEY_NONE + 1; i < KV_KEY_COUNT; i++) {
        enum kv_key key = (enum kv_key)i;
        size_t len = strlen(words[i]);
        if (!kv_key_numbered(key)) {
            if (kv_bytes_is(word, words[i])) {
                *out = key;
                *n = 0;
                return true;
            }
            continue;
        }
        uint64_t number;
        if (word.len > len && memcmp(word.ptr, words[i], len) == 0 &&
            kv_parse_u64(kv_bytes(word.ptr + len, word.len - len), KV_STATEMENT_MAX, &number) &&
            number > 0) {
            *out = key;
            *n = (uint32_t)number;
            return true;
        }
    }
    return false;
}

struct kv_hash kv_statement_sha256(const struct kv_statement *st)
{
    return kv_hash(kv_statement_text(st));
}

struct kv_bytes kv_statement_get_n(const struct kv_statement *st, enum kv_key key, uint64_t n)
{
    size_t count = kv_statement_line_count(st);
    for (size_t i = 0; i < count; i++) {
        const struct kv_line *line = kv_statement_line(st, i);
        if (line->key == key && line->n == n) {
            return line->value;
        }
    }
    return KV_BYTES_NULL;
}

struct kv_bytes kv_statement_get(const struct kv_statement *st, enum kv_key key)
{
    return kv_statement_get_n(st, key, 0);
}

/* The value, unless there is none or it is "-". */
static bool value_of(const struct kv_statement *st, enum kv_key key, struct kv_bytes *value)
{
    *value = kv_statement_get(st, key);
    return value->len != 0 && !kv_bytes_is(*value, "-");
}

bool kv_statement_has(const struct kv_statement *st, enum kv_key key)
{
    struct kv_bytes value;
    return value_of(st, key, &value);
}

void kv_statement_copy(const struct kv_statement *st, enum kv_key key, char *buf, size_t size)
{
    struct kv_bytes value;
    if (!value_of(st, key, &value)) {
        value = KV_BYTES_NULL;
    }
    assert(value.len < size);
    if (value.len > 0) {
        memcpy(buf, value.ptr, value.len);
    }
    buf[value.len] = '\0';
}

bool kv_statement_time(const struct kv_statement *st, enum kv_key key, int64_t *ms)
{
    struct kv_bytes value;
    if (!value_of(st, key, &value)) {
        return false;
    }
    bool good = kv_time_parse_s(value, ms) || kv_date_parse(value, ms);
    assert(good);
    return good;
}

bool kv_statement_number(const struct kv_statement *st, enum kv_key key, uint64_t *out)
{
    struct kv_bytes value;
    if (!value_of(st, key, &value)) {
        return false;
    }
    bool good = kv_parse_u64(value, KV_NUMBER_MAX, out);
    assert(good);
    return good;
}

bool kv_statement_hash(const struct kv_statement *st, enum kv_key key, struct kv_hash *out)
{
    struct kv_bytes value;
    if (!value_of(st, key, &value)) {
        return false;
    }
    bool good = kv_hash_from_hex(value, out);
    assert(good);
    return good;
}

bool kv_statement_commitment(const struct kv_statement *st, enum kv_key key, struct kv_hash *out)
{
    struct kv_bytes value;
    if (!value_of(st, key, &value)) {
        return false;
    }
    bool good = kv_hash_from_base64(value, out);
    assert(good);
    return good;
}

uint32_t kv_statement_ops(const struct kv_statement *st)
{
    struct kv_bytes value;
    uint32_t set = 0;
    if (value_of(st, KV_KEY_OPERATIONS, &value)) {
        bool good = kv_ops_parse(value, &set);
        assert(good);
    }
    return set;
}

bool kv_statement_yes(const struct kv_statement *st, enum kv_key key)
{
    return kv_bytes_is(kv_statement_get(st, key), "yes");
}

enum kv_duty kv_statement_duty(const struct kv_statement *st, enum kv_key key)
{
    enum kv_duty duty = KV_DUTY_UNKNOWN;
    return kv_duty_parse(kv_statement_get(st, key), &duty) ? duty : KV_DUTY_UNKNOWN;
}

enum kv_decision kv_statement_decision(const struct kv_statement *st)
{
    enum kv_decision decision;
    return kv_decision_parse(kv_statement_get(st, KV_KEY_DECISION), &decision) ? decision
                                                                               : KV_DECISION_NONE;
}

enum kv_seat kv_statement_seat(const struct kv_statement *st)
{
    enum kv_seat seat;
    return kv_seat_parse(kv_statement_get(st, KV_KEY_ROLE), &seat) ? seat : KV_SEAT_NONE;
}

static bool cut(struct kv_bytes in, char at, struct kv_bytes *head, struct kv_bytes *tail)
{
    const uint8_t *found = in.len == 0 ? NULL : memchr(in.ptr, at, in.len);
    if (found == NULL) {
        return false;
    }
    *head = kv_bytes(in.ptr, (size_t)(found - in.ptr));
    *tail = kv_bytes(found + 1, in.len - head->len - 1);
    return true;
}

bool kv_rate_parse(struct kv_bytes value, struct kv_rate *out)
{
    static const struct {
        const char *word;
        int64_t ms;
    } units[] = {
        {"s", KV_SECOND_MS},
        {"min", KV_MINUTE_MS},
        {"h", KV_HOUR_MS},
        {"day", KV_DAY_MS},
    };
    struct kv_bytes number, unit;
    uint64_t count;
    if (!cut(value, '/', &number, &unit) || !kv_parse_u64(number, KV_NUMBER_MAX, &count)) {
        return false;
    }
    for (size_t i = 0; i < KV_COUNT(units); i++) {
        if (kv_bytes_is(unit, units[i].word)) {
            *out = (struct kv_rate){count, units[i].ms};
            return true;
        }
    }
    return false;
}

bool kv_statement_rate(const struct kv_statement *st, struct kv_rate *out)
{
    struct kv_bytes value;
    return value_of(st, KV_KEY_RATE, &value) && kv_rate_parse(value, out);
}

bool kv_size_root_parse(struct kv_bytes value, struct kv_size_root *out)
{
    struct kv_bytes size, root;
    struct kv_size_root read;
    if (!cut(value, ' ', &size, &root) || !kv_parse_u64(size, KV_NUMBER_MAX, &read.size) ||
        !kv_hash_from_base64(root, &read.root)) {
        return false;
    }
    /* RFC 6962 §2.1: the root of the empty tree is the hash of nothing, there is no other. */
    struct kv_hash empty = kv_hash(KV_BYTES_NULL);
    if (read.size == 0 && !kv_hash_equal(&read.root, &empty)) {
        return false;
    }
    *out = read;
    return true;
}

bool kv_statement_checkpoint(const struct kv_statement *st, struct kv_size_root *out)
{
    return kv_size_root_parse(kv_statement_get(st, KV_KEY_LOG_CHECKPOINT), out);
}

bool kv_target_parse(struct kv_bytes value, struct kv_target *out)
{
    struct kv_bytes word, id;
    enum kv_noun noun;
    if (!cut(value, ' ', &word, &id) || !kv_noun_parse(word, &noun)) {
        return false;
    }
    bool good = false;
    switch (noun) {
    case KV_NOUN_REQUEST:
    case KV_NOUN_GRANT:
    case KV_NOUN_EXCEPTION:
    case KV_NOUN_REVIEW: good = kv_ulid_valid(id); break;
    case KV_NOUN_INTEGRATION:
    case KV_NOUN_CREDENTIAL:
    case KV_NOUN_PERSON: good = kv_id_valid(id); break;
    case KV_NOUN_KEY: good = kv_approval_key_valid(id); break;
    case KV_NOUN_VAULT: good = kv_bytes_is(id, "-"); break;
    case KV_NOUN_NONE:
    case KV_NOUN_COUNT: break;
    }
    if (good) {
        *out = (struct kv_target){noun, id};
    }
    return good;
}

bool kv_statement_target(const struct kv_statement *st, struct kv_target *out)
{
    return kv_target_parse(kv_statement_get(st, KV_KEY_TARGET), out);
}

bool kv_statement_founder(const struct kv_statement *st, uint64_t n, struct kv_founder *out)
{
    struct kv_bytes value = n == 0 ? KV_BYTES_NULL : kv_statement_get_n(st, KV_KEY_PERSON_N, n);
    struct kv_bytes duty, rest;
    struct kv_founder read;
    if (!cut(value, ' ', &read.id, &rest) || !cut(rest, ' ', &duty, &read.key) ||
        !kv_duty_parse(duty, &read.duty)) {
        return false;
    }
    read.public_key = kv_statement_get_n(st, KV_KEY_PUBLIC_KEY_N, n);
    *out = read;
    return true;
}

enum kv_requester kv_statement_requester(const struct kv_statement *request, struct kv_bytes *id)
{
    static const char prefix[] = "integration:";
    size_t skip = sizeof prefix - 1;
    struct kv_bytes value;
    if (!value_of(request, KV_KEY_REQUESTER, &value)) {
        *id = KV_BYTES_NULL;
        return KV_REQUESTER_NOBODY;
    }
    if (value.len > skip && memcmp(value.ptr, prefix, skip) == 0) {
        *id = kv_bytes(value.ptr + skip, value.len - skip);
        return KV_REQUESTER_INTEGRATION;
    }
    *id = value;
    return KV_REQUESTER_PERSON;
}

bool kv_list_has(struct kv_bytes list, struct kv_bytes item)
{
    struct kv_bytes head, rest;
    while (cut(list, ',', &head, &rest)) {
        if (kv_bytes_equal(head, item)) {
            return true;
        }
        list = rest;
    }
    return kv_bytes_equal(list, item);
}

void kv_confirmation_code(const struct kv_hash *request_sha256,
                          char out[static KV_CONFIRMATION_LEN])
{
    char code[11];
    kv_base32_encode(kv_bytes(request_sha256->b, sizeof request_sha256->b), 10, code);
    memcpy(out, code, 5);
    out[5] = '-';
    memcpy(out + 6, code + 5, 6);
}
