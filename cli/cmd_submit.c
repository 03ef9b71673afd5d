/* submit: signed texts of whomever, from any account. */
#include "cli/cmd_daily.h"

#include "cli/draft.h"
#include "cli/file.h"
#include "cli/out.h"

#include <stdlib.h>

/* One signed text and what travels with it. */
struct parcel {
    struct kv_buf file;   /* as read */
    struct kv_buf armour; /* of FILE.sig */
    struct kv_bytes text, signature;
    json_t *more;
};

static void clear(struct parcel *parcel)
{
    kv_buf_clear(&parcel->file);
    kv_buf_clear(&parcel->armour);
    json_decref(parcel->more);
}

static enum kv_code read_beside(const char *path, const char *suffix, size_t max,
                                struct kv_buf *out, bool *there, struct kv_err *err)
{
    KV_CLEANUP(kv_freep) char *beside = cli_path_add(path, suffix);
    kv_buf_init(out, max);
    *there = strcmp(path, "-") != 0 && cli_file_exists(beside);
    return *there ? cli_file_read(beside, out, err) : KV_OK;
}

/* Who asks by a connection (an integration) or founds without a requester signs nothing. */
static bool needs_signature(const struct kv_statement *st)
{
    return kv_statement_type(st) != KV_STATEMENT_REQUEST ||
           kv_statement_has(st, KV_KEY_REQUESTER_KEY);
}

static enum kv_code read_signature(struct parcel *parcel, const char *path, struct kv_err *err)
{
    bool there;
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = NULL;
    enum kv_code code =
        read_beside(path, ".sig", KV_SSHSIG_ARMOUR_MAX, &parcel->armour, &there, err);
    if (code != KV_OK) {
        return code;
    }
    if (kv_sshsig_split(kv_buf_bytes(&parcel->file), &parcel->text, &parcel->signature)) {
        return there ? KV_REFUSE(err, KV_E_USAGE,
                                 "there is a signature in %.100s and one in "
                                 "%.100s.sig: which one?",
                                 path, path)
                     : KV_OK;
    }
    parcel->text = kv_buf_bytes(&parcel->file);
    parcel->signature = kv_buf_bytes(&parcel->armour);
    if (kv_statement_parse(parcel->text, &st, NULL, err) != KV_OK) {
        return err->code;
    }
    if (!there && needs_signature(st)) {
        return KV_REFUSE(err, KV_E_USAGE, "its signature is missing: %.100s.sig", path);
    }
    return KV_OK;
}

static enum kv_code read_more(struct parcel *parcel, const char *path, struct kv_err *err)
{
    static const struct {
        const char *suffix, *argument;
        size_t max;
        bool json;
    } rows[] = {{".new-key.sig", "newKeySignature", KV_SSHSIG_ARMOUR_MAX, false},
                {".policy", "policy", 16384, false},
                {".private.json", "private", 32768, true}};
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_buf buf;
        bool there;
        enum kv_code code = read_beside(path, rows[i].suffix, rows[i].max, &buf, &there, err);
        if (code == KV_OK && there) {
            json_t *value =
                rows[i].json ? json_loadb(kv_buf_str(&buf), buf.len, JSON_REJECT_DUPLICATES, NULL)
                             : json_stringn(kv_buf_str(&buf), buf.len);
            if (json_object_set_new(parcel->more, rows[i].argument, value) != 0) {
                code = KV_REFUSE(err, KV_E_INPUT_VALUE, "%.120s%s cannot be read", path,
                                 rows[i].suffix);
            }
        }
        kv_buf_clear(&buf);
        if (code != KV_OK) {
            return code;
        }
    }
    return KV_OK;
}

static enum kv_code submit_one(struct cli *cli, const char *path, struct kv_err *err)
{
    struct parcel parcel = {.more = json_object()};
    struct kv_api_answer answer;
    kv_buf_init(&parcel.file, KV_STATEMENT_MAX + KV_SSHSIG_ARMOUR_MAX);
    kv_buf_init(&parcel.armour, KV_SSHSIG_ARMOUR_MAX);
    enum kv_code code = cli_file_read(path, &parcel.file, err);
    if (code == KV_OK) {
        code = read_signature(&parcel, path, err);
    }
    if (code == KV_OK) {
        code = read_more(&parcel, path, err);
    }
    if (code == KV_OK) {
        code = cli_submit(cli, parcel.text, parcel.signature, json_incref(parcel.more), false,
                          &answer, err);
        kv_api_answer_clear(&answer);
    }
    clear(&parcel);
    return code == KV_OK ? KV_OK : kv_wrap(err, "%.80s", path);
}

static bool is_companion(const char *path)
{
    static const char *const suffixes[] = {".sig", ".policy", ".private.json"};
    size_t len = strlen(path);
    for (size_t i = 0; i < KV_COUNT(suffixes); i++) {
        size_t n = strlen(suffixes[i]);
        if (len > n && strcmp(path + len - n, suffixes[i]) == 0) {
            return true;
        }
    }
    return false;
}

enum kv_code cmd_submit(struct cli *cli, struct kv_err *err)
{
    const char *path;
    unsigned texts = 0;
    for (size_t i = 0; (path = cli_operand(cli, i)) != NULL; i++) {
        if (is_companion(path)) {
            continue; /* `submit *`: signatures are found by the name of their text */
        }
        texts++;
        if (submit_one(cli, path, err) != KV_OK) {
            return err->code;
        }
    }
    return texts > 0 ? KV_OK
                     : KV_REFUSE(err, KV_E_USAGE,
                                 "name the text; its signature is found beside it as FILE.sig");
}
