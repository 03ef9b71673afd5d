#include "ledger/note.h"

#include "core/parse.h"

#define BAD(err, ...) KV_REFUSE((err), KV_E_LEDGER_NOTE, __VA_ARGS__)

static const char MARK[] = "\xe2\x80\x94 "; /* em dash and a space */

/* The next line, without its LF; false when there is none. */
static bool take_line(struct kv_bytes *rest, struct kv_bytes *line)
{
    const uint8_t *lf = rest->len == 0 ? NULL : memchr(rest->ptr, '\n', rest->len);
    if (lf == NULL) {
        return false;
    }
    *line = kv_bytes(rest->ptr, (size_t)(lf - rest->ptr));
    rest->ptr = lf + 1;
    rest->len -= line->len + 1;
    return true;
}

void kv_checkpoint_text(const struct kv_checkpoint *cp, struct kv_buf *out)
{
    kv_buf_add_format(out, "%s\n%llu\n", cp->origin, (unsigned long long)cp->size);
    kv_buf_add_base64(out, kv_bytes(cp->root.b, KV_HASH_LEN));
    kv_buf_add_u8(out, '\n');
}

enum kv_code kv_checkpoint_parse(struct kv_bytes text, struct kv_checkpoint *out,
                                 struct kv_err *err)
{
    struct kv_checkpoint cp = {0};
    struct kv_bytes origin, size, root;
    if (!take_line(&text, &origin) || !take_line(&text, &size) || !take_line(&text, &root)) {
        return BAD(err, "a checkpoint has three lines: origin, size, root");
    }
    if (origin.len == 0 || origin.len >= sizeof cp.origin ||
        memchr(origin.ptr, '\0', origin.len) != NULL) {
        return BAD(err, "the checkpoint's origin is malformed");
    }
    memcpy(cp.origin, origin.ptr, origin.len);
    if (!kv_parse_u64(size, KV_NUMBER_MAX, &cp.size)) {
        return BAD(err, "the checkpoint's size is malformed");
    }
    if (!kv_hash_from_base64(root, &cp.root)) {
        return BAD(err, "the checkpoint's root is malformed");
    }
    *out = cp;
    return KV_OK;
}

enum kv_code kv_note_make(const struct kv_vkey *key, struct kv_bytes text,
                          const uint8_t rs[static KV_ECDSA_RS_LEN], struct kv_buf *out,
                          struct kv_err *err)
{
    uint8_t blob[4 + KV_ECDSA_DER_MAX];
    uint8_t der[KV_ECDSA_DER_MAX];
    size_t len;
    assert(key->type == KV_VKEY_ECDSA && text.len > 0 && text.ptr[text.len - 1] == '\n');
    enum kv_code code = kv_ecdsa_to_der(rs, der, &len, err);
    if (code == KV_OK) {
        code = kv_vkey_verify(key, text, kv_bytes(der, len), err);
    }
    if (code != KV_OK) {
        return code;
    }
    memcpy(blob, key->id, 4);
    memcpy(blob + 4, der, len);
    kv_buf_add_bytes(out, text);
    kv_buf_add_format(out, "\n%s%s ", MARK, key->name);
    kv_buf_add_base64(out, kv_bytes(blob, 4 + len));
    kv_buf_add_u8(out, '\n');
    return out->failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a note") : KV_OK;
}

/* Cut the note at its last empty line. */
static enum kv_code split(struct kv_bytes note, struct kv_bytes *text, struct kv_bytes *lines,
                          struct kv_err *err)
{
    if (note.len == 0 || note.len > KV_NOTE_MAX || note.ptr[note.len - 1] != '\n' ||
        !kv_utf8_valid(note)) {
        return BAD(err, "not a note: length, last line or encoding");
    }
    size_t cut = 0;
    for (size_t i = 0; i < note.len; i++) {
        if (note.ptr[i] < 0x20 && note.ptr[i] != '\n') {
            return BAD(err, "not a note: a control character");
        }
        if (note.ptr[i] == '\n' && i > 0 && note.ptr[i - 1] == '\n') {
            cut = i;
        }
    }
    if (cut == 0 || cut + 1 == note.len) {
        return BAD(err, "not a note: no empty line before signatures");
    }
    *text = kv_bytes(note.ptr, cut);
    *lines = kv_bytes(note.ptr + cut + 1, note.len - cut - 1);
    return KV_OK;
}

struct signature {
    struct kv_bytes name;
    uint8_t *blob; /* key id and signature */
    size_t len;
};

#define BLOB_MAX 4096 /* bytes; ML-DSA-44 lines of others are 3.3 kB of base64 */

/* `— name base64`; the blob is decoded into sig->blob, BLOB_MAX bytes. */
static bool parse_line(struct kv_bytes line, struct signature *sig)
{
    size_t mark = sizeof MARK - 1;
    if (line.len <= mark || memcmp(line.ptr, MARK, mark) != 0) {
        return false;
    }
    struct kv_bytes rest = kv_bytes(line.ptr + mark, line.len - mark);
    const uint8_t *space = memchr(rest.ptr, ' ', rest.len);
    if (space == NULL || space == rest.ptr) {
        return false;
    }
    sig->name = kv_bytes(rest.ptr, (size_t)(space - rest.ptr));
    struct kv_bytes base64 = kv_bytes(space + 1, rest.len - sig->name.len - 1);
    return memchr(sig->name.ptr, '+', sig->name.len) == NULL &&
           kv_base64_decode(base64, sig->blob, BLOB_MAX, &sig->len) && sig->len > 4;
}

enum kv_code kv_note_open(struct kv_bytes note, const struct kv_vkey *keys, size_t key_count,
                          struct kv_bytes *text, struct kv_err *err)
{
    uint8_t blob[BLOB_MAX];
    struct signature sig = {.blob = blob};
    struct kv_bytes body = KV_BYTES_NULL;
    struct kv_bytes lines = KV_BYTES_NULL;
    struct kv_bytes line;
    enum kv_code code = split(note, &body, &lines, err);
    if (code != KV_OK) {
        return code;
    }
    size_t count = 0;
    size_t good = 0;
    while (take_line(&lines, &line)) {
        if (++count > KV_NOTE_LINES_MAX) {
            return BAD(err, "not a note: more than %d signature lines", KV_NOTE_LINES_MAX);
        }
        if (!parse_line(line, &sig)) {
            return BAD(err, "not a note: a signature line is malformed");
        }
        for (size_t i = 0; i < key_count; i++) {
            if (!kv_bytes_is(sig.name, keys[i].name) || memcmp(sig.blob, keys[i].id, 4) != 0) {
                continue;
            }
            code = kv_vkey_verify(&keys[i], body, kv_bytes(sig.blob + 4, sig.len - 4), err);
            if (code != KV_OK) {
                return code;
            }
            good++;
        }
    }
    if (good == 0) {
        return BAD(err, "no signature line by the log key");
    }
    *text = body;
    return KV_OK;
}

enum kv_code kv_checkpoint_open(struct kv_bytes note, const struct kv_vkey *keys, size_t key_count,
                                struct kv_checkpoint *out, struct kv_err *err)
{
    struct kv_bytes text;
    struct kv_checkpoint cp;
    assert(key_count > 0);
    enum kv_code code = kv_note_open(note, keys, key_count, &text, err);
    if (code == KV_OK) {
        code = kv_checkpoint_parse(text, &cp, err);
    }
    if (code != KV_OK) {
        return code;
    }
    if (strcmp(cp.origin, keys[0].name) != 0) {
        return BAD(err, "the checkpoint is of '%.80s', the key of '%.80s'", cp.origin,
                   keys[0].name);
    }
    *out = cp;
    return KV_OK;
}

static const char PROOF_HEAD[] = "c2sp.org/tlog-proof@v1";

void kv_tlog_proof_write(const struct kv_tlog_proof *proof, struct kv_buf *out)
{
    kv_buf_add_format(out, "%s\nindex %llu\n", PROOF_HEAD, (unsigned long long)proof->index);
    for (size_t i = 0; i < proof->proof.count; i++) {
        kv_buf_add_base64(out, kv_bytes(proof->proof.hash[i].b, KV_HASH_LEN));
        kv_buf_add_u8(out, '\n');
    }
    kv_buf_add_u8(out, '\n');
    kv_buf_add_bytes(out, proof->note);
}

static bool take_prefix(struct kv_bytes *line, const char *prefix)
{
    size_t n = strlen(prefix);
    if (line->len < n || memcmp(line->ptr, prefix, n) != 0) {
        return false;
    }
    line->ptr += n;
    line->len -= n;
    return true;
}

static bool extra_valid(struct kv_bytes base64)
{
    uint8_t extra[BLOB_MAX];
    size_t len;
    return kv_base64_decode(base64, extra, sizeof extra, &len);
}

enum kv_code kv_tlog_proof_read(struct kv_bytes text, struct kv_tlog_proof *out, struct kv_err *err)
{
    struct kv_tlog_proof proof = {0};
    struct kv_bytes line;
    if (text.len > KV_NOTE_MAX || !take_line(&text, &line) || !kv_bytes_is(line, PROOF_HEAD) ||
        !take_line(&text, &line)) {
        return KV_REFUSE(err, KV_E_LEDGER_PROOF, "not a %s", PROOF_HEAD);
    }
    if (take_prefix(&line, "extra ") && (!extra_valid(line) || !take_line(&text, &line))) {
        return KV_REFUSE(err, KV_E_LEDGER_PROOF, "the line `extra` is malformed");
    }
    if (!take_prefix(&line, "index ") || !kv_parse_u64(line, KV_NUMBER_MAX, &proof.index)) {
        return KV_REFUSE(err, KV_E_LEDGER_PROOF, "the line `index` is malformed");
    }
    bool more = take_line(&text, &line);
    for (; more && line.len > 0; more = take_line(&text, &line)) {
        if (proof.proof.count == KV_PROOF_MAX ||
            !kv_hash_from_base64(line, &proof.proof.hash[proof.proof.count])) {
            return KV_REFUSE(err, KV_E_LEDGER_PROOF, "a hash of the proof is malformed");
        }
        proof.proof.count++;
    }
    if (!more || text.len == 0) { /* the empty line was not reached, or nothing is behind it */
        return KV_REFUSE(err, KV_E_LEDGER_PROOF, "no checkpoint behind the proof");
    }
    proof.note = text;
    *out = proof;
    return KV_OK;
}

enum kv_code kv_tlog_proof_verify(struct kv_bytes text, struct kv_bytes record,
                                  const struct kv_vkey *keys, size_t key_count, uint64_t *index,
                                  struct kv_checkpoint *cp, struct kv_err *err)
{
    struct kv_tlog_proof proof;
    struct kv_checkpoint head;
    enum kv_code code = kv_tlog_proof_read(text, &proof, err);
    if (code == KV_OK) {
        code = kv_checkpoint_open(proof.note, keys, key_count, &head, err);
    }
    if (code != KV_OK) {
        return code;
    }
    struct kv_hash leaf = kv_leaf_hash(record);
    if (!kv_inclusion_verify(&proof.proof, proof.index, head.size, &leaf, &head.root)) {
        return KV_REFUSE(err, KV_E_LEDGER_PROOF,
                         "the proof does not lead from the record to the "
                         "root of the checkpoint");
    }
    if (index != NULL) {
        *index = proof.index;
    }
    if (cp != NULL) {
        *cp = head;
    }
    return KV_OK;
}
