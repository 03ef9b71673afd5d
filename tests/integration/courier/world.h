/* What the courier's tests run against: the KSeF stand-in, other servers, and an HTTP client whose
 * calls can be waited for. */
#ifndef KV_TESTS_INTEGRATION_COURIER_WORLD_H
#define KV_TESTS_INTEGRATION_COURIER_WORLD_H

#include "tests/unit/kv_test.h"

#include "agent/courier_http.h"
#include "core/buf.h"

#include <sys/types.h>

#define WORLD_CHILDREN 8

struct world {
    char folder[64]; /* temporary; removed at the end */
    struct kv_loop *loop;
    struct kv_courier_http *ksef;    /* at https://localhost:PORT/v2 */
    struct kv_courier_http *control; /* at https://localhost:PORT/control */
    char ca_file[96];
    char url[64];
    unsigned port;
    pid_t children[WORLD_CHILDREN];
    size_t child_count;
};

/* False, with a reason printed, when a tool is missing. Asserts otherwise. */
bool world_open(struct world *world);
void world_close(struct world *world);

/* Start a program that lives until world_close, with its output in FOLDER/NAME.log. */
void world_start(struct world *world, const char *name, const char *const argv[]);
/* Run a program to its end; its exit status. */
int world_run(struct world *world, const char *name, const char *const argv[]);
/* FOLDER/NAME. */
void world_path(const struct world *world, const char *name, char *out, size_t size);
/* Wait (10 s) until the file FOLDER/NAME is there and has a line; its contents. */
struct kv_buf world_wait_file(const struct world *world, const char *name);
void world_write_file(const struct world *world, const char *name, struct kv_bytes data);

/* A result that outlives its callback. */
struct answer {
    bool done;
    enum kv_code code;
    bool sent;
    int status;
    char message[192], content_type[KV_COURIER_HEADER_LEN], retry_after[KV_COURIER_HEADER_LEN],
        warning[KV_COURIER_HEADER_LEN];
    uint8_t body[KV_COURIER_BODY_MAX];
    size_t body_len;
    struct kv_loop *loop; /* stopped when the answer is here */
};

/* Send and wait. The answer is owned by the caller (free). */
struct answer *world_call(struct world *world, struct kv_courier_http *http,
                          const struct kv_courier_request *request);
/* kv_courier_done_fn with a struct answer as ctx. */
void world_on_done(void *ctx, struct kv_courier_result *result);
/* Run the loop for `ms`. */
void world_turn(struct world *world, int64_t ms);
/* POST to the stand-in's control interface. */
void world_control(struct world *world, const char *path, const char *json);
/* How often the stand-in was called at `endpoint`. */
unsigned world_calls(struct world *world, const char *endpoint);

#endif
