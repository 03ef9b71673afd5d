/* From a draft to the vault: composed, signed by ssh-keygen, handed in; or written to be signed on
 * another machine. */
#include "cli/draft.h"

#include "cli/file.h"
#include "cli/out.h"

#include <stdlib.h>

/* Values that do not agree with each other came from the command line; its author knows no lines.
 */
static enum kv_code blame_command(struct kv_err *err)
{
    const struct kv_err found = *err;
    const char *behind = strncmp(found.msg, "line ", 5) == 0 ? strstr(found.msg, ": ") : NULL;
    return KV_REFUSE(err, KV_E_USAGE, "%s", behind == NULL ? found.msg : behind + 2);
}

static enum kv_code compose(struct cli_draft *draft, struct kv_err *err)
{
    bool act = false;
    for (size_t i = 0; i < draft->count; i++) {
        act = act || draft->lines[i].key == KV_KEY_ACT;
    }
    if (!act && !draft->window_given) {
        cli_draft_add_time(draft, KV_KEY_NOT_BEFORE, draft->now_ms);
        cli_draft_add_time(draft, KV_KEY_NOT_AFTER, draft->now_ms + CLI_REQUEST_DAYS * KV_DAY_MS);
    }
    if (draft->failure.code != KV_OK) {
        *err = draft->failure;
        return err->code;
    }
    enum kv_code code = act ? kv_compose_act(draft->lines, draft->count, &draft->text, err)
                            : kv_compose_request(draft->lines, draft->count, &draft->text, err);
    return code == KV_E_STMT_VALUE ? blame_command(err) : code;
}

static void put_text(const char *label, const char *text)
{
    printf("%s: ", label);
    cli_put(stdout, kv_bytes_str(text));
    fputc('\n', stdout);
}

/* What happens next when the agent leaves it to us: it follows from the state. */
static void put_next(const json_t *answer, const char *after)
{
    static const struct {
        const char *state, *next;
    } rows[] = {{"approved", "The agent carries it out by itself, at once or when its time comes."},
                {"done", "Nothing; it is carried out."},
                {"denied", "Nothing; one denial ends a request. A new one may be made."},
                {"withdrawn", "Nothing; the request is withdrawn."},
                {"lapsed", "Make a new request if it is still wanted."}};
    const char *state = cli_str(answer, "state");
    const char *id = cli_str(answer, "request");
    if (strcmp(state, "open") == 0) {
        printf("next: those who are missing read it and sign: ksefvault approve %s --as PERSON "
               "--key FILE\n",
               id);
        return;
    }
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        if (strcmp(rows[i].state, state) == 0) {
            put_text("next", rows[i].next);
            return;
        }
    }
    put_text("next", after);
}

static const char nothing_after[] = "Nothing; it is recorded and holds from now on.";

/* What an act leaves to be done. */
static const char *after_act(const json_t *answer)
{
    const json_t *suspended = json_object_get(answer, "suspended"); /* a key was compromised */
    return suspended == NULL ? nothing_after
           : json_array_size(suspended) == 0
               ? "Nothing; it is recorded, and nothing that is in force rests on that key."
               : "What the key gave since then is suspended now. ksefvault status names each "
                 "grant and integration, and how it is resumed when it is cleared up.";
}

static void put_outcome(const json_t *answer, const char *after)
{
    cli_put_member("request", answer, "request");
    cli_put_member("state", answer, "state");
    cli_put_member("record", answer, "record");
    cli_put_member("confirmation code", answer, "confirmationCode");
    if (json_array_size(json_object_get(answer, "missing")) > 0) {
        KV_CLEANUP(kv_freep) char *who = cli_missing_text(json_object_get(answer, "missing"));
        put_text("missing", who);
    }
    cli_put_member("who", answer, "who");
    cli_put_member("suspended grants", answer, "suspendedGrants");
    cli_put_member("suspended integrations", answer, "suspendedIntegrations");
    if (json_array_size(json_object_get(answer, "suspended")) > 0) {
        cli_put_member("suspended", answer, "suspended");
    }
    if (cli_str(answer, "next")[0] != '\0') {
        cli_put_member("next", answer, "next");
    } else {
        put_next(answer, after);
    }
}

void cli_put_outcome(const json_t *answer)
{
    put_outcome(answer, nothing_after);
}

static json_t *json_text(struct kv_bytes text)
{
    return json_stringn((const char *)text.ptr, text.len); /* NULL if it is not UTF-8 */
}

enum kv_code cli_submit(struct cli *cli, struct kv_bytes text, struct kv_bytes armour, json_t *more,
                        bool quiet, struct kv_api_answer *answer, struct kv_err *err)
{
    json_t *args = more == NULL ? json_object() : more;
    bool good = json_object_set_new(args, "text", json_text(text)) == 0 &&
                (armour.len == 0 || json_object_set_new(args, "signature", json_text(armour)) == 0);
    *answer = (struct kv_api_answer){0, NULL};
    if (!good) {
        json_decref(args);
        return KV_REFUSE(err, KV_E_INPUT_UTF8, "the text or its signature is not valid UTF-8");
    }
    if (cli_call(cli, KV_CALL_SUBMIT, args, answer, err) != KV_OK) {
        return err->code;
    }
    if (!quiet && cli->json) {
        cli_put_json(answer->body);
    } else if (!quiet) {
        put_outcome(answer->body, after_act(answer->body));
    }
    return KV_OK;
}

static enum kv_code write_beside(const char *path, const char *suffix, struct kv_bytes bytes,
                                 struct kv_err *err)
{
    KV_CLEANUP(kv_freep) char *beside = cli_path_add(path, suffix);
    return bytes.len == 0 ? KV_OK : cli_file_write(beside, bytes, err);
}

/* --out: the text, and beside it what must travel with it. */
static enum kv_code write_out(const struct cli *cli, const struct cli_draft *draft,
                              struct kv_err *err)
{
    const char *path = cli_get(cli, "out");
    KV_CLEANUP(kv_freep)
    char *rows =
        json_array_size(draft->private) == 0 ? NULL : json_dumps(draft->private, JSON_COMPACT);
    if (cli_file_write(path, kv_statement_text(draft->text), err) != KV_OK ||
        write_beside(path, ".private.json", rows == NULL ? KV_BYTES_NULL : kv_bytes_str(rows),
                     err) != KV_OK ||
        write_beside(path, ".policy", kv_buf_bytes(&draft->policy), err) != KV_OK) {
        return err->code;
    }
    if (cli->json) {
        json_t *object = json_pack("{s:s,s:s,s:s}", "file", path, "signer", draft->signer.person,
                                   "key", draft->signer.key);
        cli_put_json(object);
        json_decref(object);
        return KV_OK;
    }
    cli_say("The text is in %s; nothing was handed in.\n"
            "%s reads it and signs it with the key %s:\n\n"
            "    ssh-keygen -Y sign -n %s -f KEY %s\n\n",
            path, draft->signer.person, draft->signer.key, KV_SSHSIG_NAMESPACE, path);
    enum kv_action action = kv_statement_action(draft->text);
    if (kv_statement_has(draft->text, KV_KEY_PUBLIC_KEY) &&
        (action == KV_ACTION_PERSON_ENROL || action == KV_ACTION_KEY_ENROL)) {
        cli_say("The holder of the new key proves it by signing the same text:\n\n"
                "    ssh-keygen -Y sign -n %s -f NEWKEY < %s > %s.new-key.sig\n\n",
                KV_SSHSIG_NAMESPACE, path, path);
    }
    if (rows != NULL) {
        cli_say("%s.private.json goes with %s: it has the reason or name that the text\n"
                "only commits to, and without it the text is refused.\n\n",
                path, path);
    }
    cli_say("Then, from any account of this host:\n\n    ksefvault submit %s\n", path);
    return KV_OK;
}

static enum kv_code sign_new_key(const struct cli_draft *draft, json_t *more, struct kv_err *err)
{
    char fingerprint[KV_KEY_LEN];
    struct kv_buf armour;
    kv_statement_copy(draft->text, KV_KEY_KEY, fingerprint, sizeof fingerprint);
    kv_buf_init(&armour, KV_SSHSIG_ARMOUR_MAX);
    enum kv_code code =
        cli_sign(draft->new_key_file, fingerprint, kv_statement_text(draft->text), &armour, err);
    code = code == KV_OK ? code : kv_wrap(err, "the new key");
    if (code == KV_OK &&
        json_object_set_new(more, "newKeySignature", json_text(kv_buf_bytes(&armour))) != 0) {
        abort();
    }
    kv_buf_clear(&armour);
    return code;
}

/* What travels beside the text; *out is owned by the caller. */
static enum kv_code beside(const struct cli_draft *draft, json_t **out, struct kv_err *err)
{
    json_t *more = json_object();
    bool good = more != NULL;
    if (json_array_size(draft->private) > 0) {
        good = good && json_object_set(more, "private", draft->private) == 0;
    }
    if (draft->policy.len > 0) {
        good = good &&
               json_object_set_new(more, "policy", json_text(kv_buf_bytes(&draft->policy))) == 0;
    }
    enum kv_code code =
        good ? KV_OK
             : KV_REFUSE(err, KV_E_INPUT_UTF8, "what goes with the text is not valid UTF-8");
    if (code == KV_OK && draft->new_key_file != NULL) {
        code = sign_new_key(draft, more, err);
    }
    if (code != KV_OK) {
        json_decref(more);
        return code;
    }
    *out = more;
    return KV_OK;
}

enum kv_code cli_deliver(struct cli *cli, struct cli_draft *draft, struct kv_err *err)
{
    struct kv_buf armour;
    struct kv_api_answer answer;
    if (compose(draft, err) != KV_OK) {
        return err->code;
    }
    if (draft->signer.key_file == NULL) {
        return write_out(cli, draft, err);
    }
    kv_buf_init(&armour, KV_SSHSIG_ARMOUR_MAX);
    enum kv_code code = cli_sign(draft->signer.key_file, draft->signer.key,
                                 kv_statement_text(draft->text), &armour, err);
    json_t *more = NULL;
    code = code == KV_OK ? beside(draft, &more, err) : code;
    if (code == KV_OK) {
        code = cli_submit(cli, kv_statement_text(draft->text), kv_buf_bytes(&armour), more, false,
                          &answer, err);
        kv_api_answer_clear(&answer);
    }
    kv_buf_clear(&armour);
    return code;
}
