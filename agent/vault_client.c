/* Connections: the vault accepts each, reads the peer from the kernel, asks the supervisor for the
 * executable, and hands the descriptor to the gate under a number that is never used again. */
#include "agent/vault.h"

#include "agent/peer.h"
#include "core/log.h"
#include "core/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_MAX       2048
#define CLIENTS_UID_MAX   128 /* so that one account can't shut the others out */
#define FILES_OWN         64  /* for ledger and channels: a client has a descriptor here */
#define ACCEPT_MAX        32  /* per turn */
#define ATTEST_TIMEOUT_MS 10000

static void free_client(struct client *client)
{
    kv_close_fdp(&client->fd);
    kv_close_fdp(&client->pidfd);
    free(client);
}

static struct client_bucket *bucket(struct vault *v, uint64_t number)
{
    return &v->clients[number % CLIENT_BUCKETS];
}

struct client *vault_client(struct vault *v, uint64_t number)
{
    struct client *c;
    LIST_FOREACH(c, bucket(v, number), of_bucket)
    {
        if (c->number == number) {
            return c;
        }
    }
    return NULL;
}

void vault_client_gone(struct vault *v, uint64_t number)
{
    struct client *client = vault_client(v, number);
    if (client == NULL) {
        return;
    }
    LIST_REMOVE(client, of_bucket);
    vault_calls_client_gone(v, client);
    if (v->supervisor != NULL) {
        kv_channel_forget(v->supervisor, client);
    }
    free_client(client);
}

void vault_clients_clear(struct vault *v)
{
    for (size_t i = 0; i < CLIENT_BUCKETS; i++) {
        while (!LIST_EMPTY(&v->clients[i])) {
            vault_client_gone(v, LIST_FIRST(&v->clients[i])->number);
        }
    }
}

void vault_client_via(const struct client *client, bool with_exe, char out[static KV_VIA_LEN])
{
    char hex[KV_HASH_HEX_LEN] = "";
    if (client->has_exe_hash) {
        kv_hash_hex(&client->exe_hash, hex);
    }
    bool exe = with_exe && client->has_exe_hash;
    bool unit = client->unit[0] != '\0' && strlen(client->unit) < 64;
    int n = snprintf(out, KV_VIA_LEN, "uid:%u%s%s%s%s", client->uid, unit ? " unit:" : "",
                     unit ? client->unit : "", exe ? " exe:" : "", exe ? hex : "");
    assert(n > 0 && n < KV_VIA_LEN);
}

struct kv_caller vault_caller(const struct client *client)
{
    struct kv_caller caller = {.uid = client->uid,
                               .gid = client->gid,
                               .unit = client->unit,
                               .exe = client->exe,
                               .has_exe_hash = client->has_exe_hash,
                               .exe_hash = client->exe_hash};
    return caller;
}

static void hand_over(struct client *client)
{
    struct vault *v = client->vault;
    struct kv_err err;
    struct kv_buf body;
    enum kv_code code = KV_E_STARTING;
    kv_buf_init(&body, 256);
    kv_message_number(&body, "connection", client->number);
    if (v->gate != NULL) {
        code = kv_channel_send(v->gate, KV_FRAME_CONNECTION, kv_buf_bytes(&body), client->fd, &err);
    }
    kv_buf_clear(&body);
    if (code != KV_OK) {
        vault_client_gone(v, client->number); /* closed: the caller tries again */
        return;
    }
    kv_close_fdp(&client->fd);
}

static void ask(struct client *client, bool read);

/* Only of who is registered here a program is read: strangers could keep the supervisor busy with
 * theirs. A unit that nobody but systemd gives counts as well, once it is known. */
static bool registered(const struct client *client)
{
    const struct kv_state *state = client->vault->state;
    struct kv_caller caller = vault_caller(client);
    return state != NULL && kv_state_knows(state, &caller);
}

static void on_attested(void *ctx, const struct kv_answer_frame *answer)
{
    static const struct kv_field_spec specs[] = {
        {"exe", KV_FIELD_STRING, 255, true, NULL},
        {"unit", KV_FIELD_STRING, 127, true, NULL},
        {"start", KV_FIELD_NUMBER, KV_NUMBER_MAX, true, NULL},
        {"exe-sha256", KV_FIELD_STRING, 64, false, NULL},
        {NULL, KV_FIELD_END, 0, false, NULL}};
    struct client *client = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    client->asked = false;
    bool seen =
        answer->code == KV_OK && kv_message_read(answer->fields, specs, field, &err) == KV_OK;
    /* Who has his connection already is not looked at as another program than he came as. */
    if (seen && client->fd < 0 && !kv_bytes_is(field[0].value, client->exe)) {
        return;
    }
    /* Who can't be attested is told so: without executable and unit only an integration that
     * demands neither can match. */
    if (seen && kv_field_copy(&field[0], client->exe, sizeof client->exe) &&
        kv_field_copy(&field[1], client->unit, sizeof client->unit)) {
        client->has_exe_hash =
            field[3].type != 0 && kv_hash_from_hex(field[3].value, &client->exe_hash);
        if (!client->has_exe_hash && !client->asked_read && registered(client)) {
            ask(client, true); /* one by its unit; all that is told then is of one look */
            return;
        }
    }
    if (client->fd >= 0) {
        hand_over(client);
    }
}

static void ask(struct client *client, bool read)
{
    struct vault *v = client->vault;
    struct kv_err err;
    struct kv_buf body;
    kv_buf_init(&body, 256);
    kv_message_number(&body, "uid", client->uid);
    kv_message_bool(&body, "read", read);
    enum kv_code code = kv_channel_ask(v->supervisor, KV_FRAME_ATTEST, kv_buf_bytes(&body),
                                       client->pidfd, ATTEST_TIMEOUT_MS, on_attested, client, &err);
    kv_buf_clear(&body);
    client->asked = code == KV_OK;
    client->asked_read = read;
    if (code != KV_OK) {
        kv_log_err(KV_LOG_WARNING, "attest", &err);
        if (client->fd >= 0) {
            vault_client_gone(v, client->number);
        }
    }
}

void vault_client_read(struct client *client)
{
    if (!client->asked) {
        ask(client, true);
    }
}

static void admit(struct vault *v, int fd, const struct kv_peer *peer)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        abort();
    }
    *client = (struct client){.vault = v,
                              .number = ++v->next_connection,
                              .fd = fd,
                              .pidfd = peer->pidfd,
                              .uid = peer->uid,
                              .gid = peer->gid};
    LIST_INSERT_HEAD(bucket(v, client->number), client, of_bucket);
    ask(client, registered(client));
}

/* Before the sandbox, which does not let us ask. */
void vault_clients_limit(struct vault *v)
{
    struct rlimit files;
    v->clients_max = CLIENTS_MAX;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < CLIENTS_MAX + FILES_OWN) {
        v->clients_max = files.rlim_cur > FILES_OWN ? (size_t)files.rlim_cur - FILES_OWN : 1;
    }
}

static bool room_for(const struct vault *v, uid_t uid)
{
    size_t all = 0, own = 0;
    for (size_t i = 0; i < CLIENT_BUCKETS; i++) {
        const struct client *c;
        LIST_FOREACH(c, &v->clients[i], of_bucket)
        {
            all++;
            own += c->uid == uid;
        }
    }
    size_t own_max = v->clients_max / 2 < CLIENTS_UID_MAX ? v->clients_max / 2 : CLIENTS_UID_MAX;
    return all < v->clients_max && own < own_max;
}

static void on_listener(void *ctx, uint32_t events)
{
    (void)events;
    struct vault *v = ctx;
    for (int i = 0; i < ACCEPT_MAX; i++) {
        struct kv_peer peer;
        struct kv_err err;
        int fd = accept4(v->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            return; /* EAGAIN, or a caller that hung up already */
        }
        if (kv_peer_read(fd, &peer, &err) != KV_OK) {
            kv_close_fdp(&fd);
        } else if (!room_for(v, peer.uid)) {
            kv_close_fdp(&peer.pidfd);
            kv_close_fdp(&fd);
        } else {
            admit(v, fd, &peer);
        }
    }
}

void vault_listen(struct vault *v, int listener)
{
    struct kv_err err;
    v->listener = listener;
    if (kv_loop_watch(v->loop, listener, EPOLLIN, on_listener, v, &v->listener_source, &err) !=
        KV_OK) {
        vault_fatal(v, &err);
    }
}
