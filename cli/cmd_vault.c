/* vault found: first run, make the texts; each further run, hand in what was signed. */
#include "cli/cmd.h"

#include "cli/draft.h"
#include "cli/file.h"
#include "cli/founding.h"
#include "cli/out.h"
#include "ledger/vkey.h"

#include <errno.h>
#include <stdlib.h>

static const struct cli_option found_options[] = {
    {"dir", "FOLDER", CLI_REQUIRED, "folder of the ceremony's texts"},
    {"person", "ID:DUTY:PUBKEY", CLI_MANY, "a founder; duty finance, custodian, or - with --test"},
    {"policy", "FILE", CLI_OPTIONAL, "the policy (default: " KV_POLICY_SAMPLE ")"},
    {"lang", "en|pl", CLI_OPTIONAL, "language of the sentences that people sign (default: en)"},
    {"test", NULL, CLI_OPTIONAL, "found a TEST vault; software slots and 1 + 1 founders may do"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

static void founding_clear(struct founding *founding)
{
    free(founding->founders);
    kv_buf_clear(&founding->policy);
}

/* ID:DUTY:FILE */
static enum kv_code read_person(const char *spec, struct founder *out, struct kv_err *err)
{
    size_t id = strcspn(spec, ":");
    size_t duty = spec[id] == ':' ? strcspn(spec + id + 1, ":") : 0;
    if (spec[id] != ':' || spec[id + 1 + duty] != ':' || spec[id + duty + 2] == '\0') {
        return KV_REFUSE(err, KV_E_USAGE, "--person takes ID:DUTY:PUBKEYFILE, not '%.80s'", spec);
    }
    if (!kv_id_valid(kv_bytes(spec, id))) {
        return KV_REFUSE(err, KV_E_USAGE, "--person: '%.*s' is not an id", (int)id, spec);
    }
    if (!kv_duty_parse(kv_bytes(spec + id + 1, duty), &out->duty)) {
        return KV_REFUSE(err, KV_E_USAGE, "--person %.*s: '%.*s' is not a duty", (int)id, spec,
                         (int)duty, spec + id + 1);
    }
    memcpy(out->id, spec, id);
    out->id[id] = '\0';
    return cli_public_key(spec + id + duty + 2, &out->key, err);
}

static enum kv_code read_persons(struct cli *cli, struct founding *out, struct kv_err *err)
{
    const char *spec;
    out->founders = calloc(FOUNDERS_MAX, sizeof *out->founders);
    if (out->founders == NULL) {
        abort();
    }
    for (size_t i = 0; (spec = cli_get_n(cli, "person", i)) != NULL; i++) {
        if (i == FOUNDERS_MAX) {
            return KV_REFUSE(err, KV_E_USAGE, "a founding names at most %d persons", FOUNDERS_MAX);
        }
        if (read_person(spec, &out->founders[i], err) != KV_OK) {
            return err->code;
        }
        out->count = i + 1;
    }
    return out->count > 0 ? KV_OK : KV_REFUSE(err, KV_E_USAGE, "--person is missing: who founds?");
}

static enum kv_code read_options(struct cli *cli, struct founding *out, struct kv_err *err)
{
    const char *lang = cli_get(cli, "lang");
    const char *policy = cli_get(cli, "policy");
    out->test = cli_flag(cli, "test");
    out->lang = KV_LANG_EN;
    kv_buf_init(&out->policy, 16384);
    if (lang != NULL && !kv_lang_parse(kv_bytes_str(lang), &out->lang)) {
        return KV_REFUSE(err, KV_E_USAGE, "--lang is en or pl, not '%.16s'", lang);
    }
    policy = policy == NULL ? KV_POLICY_SAMPLE : policy;
    if (cli_file_read(policy, &out->policy, err) != KV_OK || read_persons(cli, out, err) != KV_OK) {
        return err->code;
    }
    return kv_ruleset_parse(kv_buf_bytes(&out->policy), &out->rules, err) == KV_OK
               ? KV_OK
               : kv_wrap(err, "%.80s", policy);
}

/* The log's key, from the agent; the vault's name is in it. */
static enum kv_code take_log_key(const json_t *answer, struct founding *out, struct kv_err *err)
{
    struct kv_vkey vkey;
    out->log_key = cli_str(answer, "logKey");
    if (out->log_key[0] == '\0') {
        return KV_REFUSE(err, KV_E_STARTING,
                         "the slot of the log's key is not ready; `ksefvault status` tells why");
    }
    if (kv_vkey_parse(kv_bytes_str(out->log_key), &vkey, err) != KV_OK) {
        return err->code;
    }
    size_t len = strlen(vkey.name);
    size_t suffix = strlen("/audit");
    if (len <= suffix || strcmp(vkey.name + len - suffix, "/audit") != 0 ||
        len - suffix >= sizeof out->vault) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "the log's key is not named after a vault");
    }
    memcpy(out->vault, vkey.name, len - suffix);
    out->vault[len - suffix] = '\0';
    return KV_OK;
}

/* Whether the slot of the ledger's key protects it as the policy demands; asked before there are
 * texts to sign. */
static enum kv_code check_custody(const json_t *answer, const struct founding *founding,
                                  struct kv_err *err)
{
    const char *custody = cli_str(answer, "custody");
    enum kv_custody_floor have, least = founding->rules.custody_minimum;
    return !kv_custody_floor_parse(kv_bytes_str(custody), &have) || have >= least
               ? KV_OK
               : KV_REFUSE(err, KV_E_CUSTODY,
                           "custody of slot %.64s is '%s', the policy demands '%s' "
                           "(custody-minimum); nothing was made to sign",
                           cli_str(answer, "logSlot"), custody, kv_custody_floor_word(least));
}

/* A further run must mean the same founding. */
static enum kv_code check_same(const struct founding *founding, const struct kv_statement *request,
                               struct kv_err *err)
{
    struct kv_founder founder;
    struct kv_hash policy = kv_hash(kv_buf_bytes(&founding->policy));
    struct kv_hash named;
    bool same = kv_statement_action(request) == KV_ACTION_FOUND &&
                kv_statement_yes(request, KV_KEY_TEST) == founding->test &&
                kv_statement_hash(request, KV_KEY_POLICY_SHA256, &named) &&
                kv_hash_equal(&named, &policy) &&
                !kv_statement_founder(request, founding->count + 1, &founder);
    for (size_t i = 0; same && i < founding->count; i++) {
        const struct founder *f = &founding->founders[i];
        same = kv_statement_founder(request, i + 1, &founder) && kv_bytes_is(founder.id, f->id) &&
               founder.duty == f->duty && kv_bytes_is(founder.key, f->key.fingerprint);
    }
    return same ? KV_OK
                : KV_REFUSE(err, KV_E_USAGE,
                            "the folder holds the texts of another founding: other persons, keys, "
                            "policy or --test; name a new folder");
}

static char *path_in(const char *dir, const char *name)
{
    char *out = NULL;
    if (asprintf(&out, "%s/%s", dir, name) < 0) {
        abort();
    }
    return out;
}

static enum kv_code read_request(const struct cli *cli, struct kv_statement **out,
                                 struct kv_err *err)
{
    KV_CLEANUP(kv_freep) char *path = path_in(cli_get(cli, "dir"), "request.txt");
    struct kv_buf text;
    kv_buf_init(&text, KV_STATEMENT_MAX);
    enum kv_code code = cli_file_read(path, &text, err);
    if (code == KV_OK) {
        code = kv_statement_parse(kv_buf_bytes(&text), out, NULL, err);
    }
    kv_buf_clear(&text);
    return code;
}

/* Read or make the folder. *fresh: it was made now. *request is owned by the caller, also on
 * failure. */
static enum kv_code prepare(const struct cli *cli, const struct founding *founding,
                            struct kv_statement **request, bool *fresh, struct kv_err *err)
{
    KV_CLEANUP(kv_freep) char *path = path_in(cli_get(cli, "dir"), "request.txt");
    *fresh = !cli_file_exists(path);
    if (*fresh) {
        return founding_compose(founding, request, err) == KV_OK
                   ? founding_write(founding, cli_get(cli, "dir"), *request, err)
                   : err->code;
    }
    return read_request(cli, request, err) == KV_OK ? check_same(founding, *request, err)
                                                    : err->code;
}

/* How far it is. */
struct progress {
    json_t *missing; /* ids of those who have not signed; owned */
    bool founded;    /* the agent said so */
};

/* Hand in FILE of the folder if FILE.sig is there, or if it needs none. *done: it was. */
static enum kv_code hand_in(struct cli *cli, const char *name, bool unsigned_too, json_t *more,
                            struct progress *progress, bool *done, struct kv_err *err)
{
    KV_CLEANUP(kv_freep) char *path = path_in(cli_get(cli, "dir"), name);
    KV_CLEANUP(kv_freep) char *sig_path = cli_path_add(path, ".sig");
    struct kv_buf text;
    struct kv_buf armour;
    struct kv_api_answer answer;
    bool is_signed = cli_file_exists(sig_path);
    *done = is_signed || unsigned_too;
    if (!*done) {
        json_decref(more);
        return KV_OK;
    }
    kv_buf_init(&text, KV_STATEMENT_MAX);
    kv_buf_init(&armour, KV_SSHSIG_ARMOUR_MAX);
    enum kv_code code = cli_file_read(path, &text, err);
    if (code == KV_OK && is_signed) {
        code = cli_file_read(sig_path, &armour, err);
    }
    if (code == KV_OK) {
        code =
            cli_submit(cli, kv_buf_bytes(&text), kv_buf_bytes(&armour), more, true, &answer, err);
        progress->founded = strcmp(cli_str(answer.body, "state"), "founded") == 0;
        kv_api_answer_clear(&answer);
        code = code == KV_OK ? KV_OK : kv_wrap(err, "%.60s", name);
    } else {
        json_decref(more);
    }
    kv_buf_clear(&text);
    kv_buf_clear(&armour);
    return code;
}

/* Everything that is signed. */
static enum kv_code hand_in_all(struct cli *cli, const struct founding *founding,
                                const struct kv_statement *request, struct progress *progress,
                                struct kv_err *err)
{
    struct kv_founder founder;
    struct kv_bytes id;
    bool done;
    bool nobody_asks = kv_statement_requester(request, &id) == KV_REQUESTER_NOBODY;
    json_t *more = json_pack("{s:s}", "policy", kv_buf_str(&founding->policy));
    if (hand_in(cli, "request.txt", nobody_asks, more, progress, &done, err) != KV_OK) {
        return err->code;
    }
    if (!done) {
        json_array_append_new(progress->missing, json_stringn((const char *)id.ptr, id.len));
    }
    bool asked = done;
    for (uint64_t n = 1; kv_statement_founder(request, n, &founder); n++) {
        KV_CLEANUP(kv_freep) char *name = founding_file(&founder);
        if (name == NULL) {
            continue; /* the requester */
        }
        done = false;
        if (asked && hand_in(cli, name, false, NULL, progress, &done, err) != KV_OK) {
            return err->code;
        }
        if (!done) {
            json_array_append_new(progress->missing,
                                  json_stringn((const char *)founder.id.ptr, founder.id.len));
        }
    }
    return KV_OK;
}

static void tell(struct cli *cli, const struct kv_statement *request, bool fresh,
                 const struct progress *progress)
{
    const char *dir = cli_get(cli, "dir");
    cli->exit = progress->founded ? KV_EXIT_OK : KV_EXIT_WAITING;
    if (cli->json) {
        json_t *object = json_pack("{s:b,s:s,s:O}", "founded", progress->founded, "dir", dir,
                                   "missing", progress->missing);
        cli_put_json(object);
        json_decref(object);
        return;
    }
    if (fresh) {
        struct kv_buf script;
        kv_buf_init(&script, 65536);
        founding_script(request, dir, &script);
        cli_put(stdout, kv_buf_bytes(&script));
        kv_buf_clear(&script);
        return;
    }
    if (progress->founded) {
        cli_say("The vault is founded. Keep a copy of %s/log.vkey apart from this machine: with "
                "it\nauditors check the ledger. next: `ksefvault status`\n",
                dir);
        return;
    }
    KV_CLEANUP(kv_freep) char *who = cli_text_of(progress->missing);
    cli_say("Not founded yet; these signatures are missing: %s\n"
            "next: they sign as %s/README.txt says; then run this command again.\n",
            who, dir);
}

static enum kv_code found(struct cli *cli, struct founding *founding, const json_t *answer,
                          struct kv_err *err)
{
    KV_CLEANUP(kv_statement_freep) struct kv_statement *request = NULL;
    bool fresh;
    founding->now_ms = kv_time_now_ms();
    founding->now_ms -= founding->now_ms % KV_SECOND_MS;
    if (take_log_key(answer, founding, err) != KV_OK ||
        check_custody(answer, founding, err) != KV_OK ||
        prepare(cli, founding, &request, &fresh, err) != KV_OK) {
        return err->code;
    }
    struct progress progress = {.missing = json_array()};
    enum kv_code code = hand_in_all(cli, founding, request, &progress, err);
    if (code == KV_OK) {
        tell(cli, request, fresh, &progress);
    }
    json_decref(progress.missing);
    return code;
}

/* The vault is founded already: by this very folder? Then the command has nothing left to do. */
static enum kv_code founded_before(struct cli *cli, const struct founding *founding,
                                   struct kv_err *err)
{
    struct kv_api_answer answer;
    struct kv_err why;
    char id[KV_ULID_LEN];
    KV_CLEANUP(kv_statement_freep) struct kv_statement *request = NULL;
    if (read_request(cli, &request, &why) != KV_OK ||
        check_same(founding, request, &why) != KV_OK) {
        return err->code; /* KV_E_FOUNDED, as the agent said it */
    }
    kv_statement_copy(request, KV_KEY_REQUEST, id, sizeof id);
    json_t *problem = cli->problem;
    cli->problem = NULL;
    enum kv_code code = cli_call(cli, KV_CALL_REQUEST, json_pack("{s:s}", "id", id), &answer, &why);
    kv_api_answer_clear(&answer);
    json_decref(cli->problem);
    cli->problem = problem;
    if (code != KV_OK) {
        return err->code;
    }
    struct progress progress = {.missing = json_array(), .founded = true};
    tell(cli, request, false, &progress);
    json_decref(progress.missing);
    return KV_OK;
}

static enum kv_code run_found(struct cli *cli, struct kv_err *err)
{
    struct kv_api_answer answer;
    KV_CLEANUP(kv_freep) struct founding *founding = calloc(1, sizeof *founding);
    if (founding == NULL) {
        abort();
    }
    enum kv_code code = read_options(cli, founding, err);
    if (code == KV_OK && (code = cli_call(cli, KV_CALL_FOUNDING, NULL, &answer, err)) == KV_OK) {
        code = found(cli, founding, answer.body, err);
        kv_api_answer_clear(&answer);
    } else if (code == KV_E_FOUNDED) {
        code = founded_before(cli, founding, err);
    }
    founding_clear(founding);
    return code;
}

const struct cli_verb cmd_vault[] = {
    {.noun = "vault",
     .verb = "found",
     .run = run_found,
     .options = found_options,
     .summary = "Found this vault: make the texts, then hand in the signatures.",
     .more = "The first run writes the folder and prints who signs what. Run the same command "
             "again to hand\nin the signatures that are there; it says who is missing (exit "
             "status 4) or that the vault is\nfounded (0). A vault needs two finance people and "
             "two custodians; with --test one of each.",
     .examples =
         "  ksefvault vault found --dir ceremony --person fin-01:finance:fin-01.pub "
         "--person fin-02:finance:fin-02.pub \\\n"
         "      --person cus-01:custodian:cus-01.pub --person cus-02:custodian:cus-02.pub\n"},
    {.noun = NULL},
};
