#include "cli/picture.h"

#include <errno.h>
#include <png.h>
#include <qrencode.h>
#include <stdlib.h>

#define MODULE_PX    5
#define QUIET        4 /* modules of white around the code (ISO/IEC 18004 §5.3.8) */
#define GLYPH_WIDTH  5
#define GLYPH_HEIGHT 7
#define GLYPH_STEP   6 /* with the space between two */
#define GLYPH_PX_MAX 3 /* a long label is drawn smaller */

/* Five bits a row, the leftmost first. */
/* clang-format off */
static const struct glyph {
    char c;
    uint8_t row[GLYPH_HEIGHT];
} glyphs[] = {
    {' ', {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00}},
    {'-', {0x00, 0x00, 0x00, 0x1f, 0x00, 0x00, 0x00}},
    {'0', {0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e}},
    {'1', {0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e}},
    {'2', {0x0e, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1f}},
    {'3', {0x1f, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0e}},
    {'4', {0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02}},
    {'5', {0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e}},
    {'6', {0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e}},
    {'7', {0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08}},
    {'8', {0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e}},
    {'9', {0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c}},
    {'A', {0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11}},
    {'B', {0x1e, 0x11, 0x11, 0x1e, 0x11, 0x11, 0x1e}},
    {'C', {0x0e, 0x11, 0x10, 0x10, 0x10, 0x11, 0x0e}},
    {'D', {0x1c, 0x12, 0x11, 0x11, 0x11, 0x12, 0x1c}},
    {'E', {0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f}},
    {'F', {0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x10}},
    {'G', {0x0e, 0x11, 0x10, 0x17, 0x11, 0x11, 0x0f}},
    {'H', {0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11}},
    {'I', {0x0e, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e}},
    {'J', {0x07, 0x02, 0x02, 0x02, 0x02, 0x12, 0x0c}},
    {'K', {0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11}},
    {'L', {0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1f}},
    {'M', {0x11, 0x1b, 0x15, 0x15, 0x11, 0x11, 0x11}},
    {'N', {0x11, 0x11, 0x19, 0x15, 0x13, 0x11, 0x11}},
    {'O', {0x0e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e}},
    {'P', {0x1e, 0x11, 0x11, 0x1e, 0x10, 0x10, 0x10}},
    {'Q', {0x0e, 0x11, 0x11, 0x11, 0x15, 0x12, 0x0d}},
    {'R', {0x1e, 0x11, 0x11, 0x1e, 0x14, 0x12, 0x11}},
    {'S', {0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e}},
    {'T', {0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04}},
    {'U', {0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e}},
    {'V', {0x11, 0x11, 0x11, 0x11, 0x11, 0x0a, 0x04}},
    {'W', {0x11, 0x11, 0x11, 0x15, 0x15, 0x15, 0x0a}},
    {'X', {0x11, 0x11, 0x0a, 0x04, 0x0a, 0x11, 0x11}},
    {'Y', {0x11, 0x11, 0x11, 0x0a, 0x04, 0x04, 0x04}},
    {'Z', {0x1f, 0x01, 0x02, 0x04, 0x08, 0x10, 0x1f}},
};
/* clang-format on */

struct canvas {
    size_t width, height;
    uint8_t *pixels; /* one byte each: 0 black, 255 white */
};

static void canvas_free(struct canvas *canvas)
{
    free(canvas->pixels);
}

static void qr_freep(QRcode **code)
{
    QRcode_free(*code); /* NULL is fine */
}

static const struct glyph *glyph_of(char c)
{
    for (size_t i = 0; i < KV_COUNT(glyphs); i++) {
        if (glyphs[i].c == c) {
            return &glyphs[i];
        }
    }
    return NULL;
}

static void square(struct canvas *canvas, size_t x, size_t y, size_t px)
{
    assert(x + px <= canvas->width && y + px <= canvas->height);
    for (size_t row = 0; row < px; row++) {
        memset(canvas->pixels + (y + row) * canvas->width + x, 0, px);
    }
}

static void draw_code(struct canvas *canvas, const QRcode *code)
{
    size_t width = (size_t)code->width;
    for (size_t y = 0; y < width; y++) {
        for (size_t x = 0; x < width; x++) {
            if ((code->data[y * width + x] & 1) != 0) {
                square(canvas, (QUIET + x) * MODULE_PX, (QUIET + y) * MODULE_PX, MODULE_PX);
            }
        }
    }
}

static size_t glyph_px(size_t width, size_t label_len)
{
    size_t px = GLYPH_PX_MAX;
    while (px > 1 && label_len * GLYPH_STEP * px > width) {
        px--;
    }
    return px;
}

static void draw_label(struct canvas *canvas, const char *label, size_t top)
{
    size_t len = strlen(label), px = glyph_px(canvas->width, len);
    size_t left = (canvas->width - (len * GLYPH_STEP - 1) * px) / 2;
    for (size_t i = 0; i < len; i++) {
        const struct glyph *glyph = glyph_of(label[i]);
        for (size_t y = 0; y < GLYPH_HEIGHT; y++) {
            for (size_t x = 0; x < GLYPH_WIDTH; x++) {
                if ((glyph->row[y] >> (GLYPH_WIDTH - 1 - x) & 1) != 0) {
                    square(canvas, left + (i * GLYPH_STEP + x) * px, top + y * px, px);
                }
            }
        }
    }
}

static enum kv_code encode(const struct canvas *canvas, struct kv_buf *out, struct kv_err *err)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)canvas->width,
                       .height = (png_uint_32)canvas->height,
                       .format = PNG_FORMAT_GRAY};
    static uint8_t png[CLI_PICTURE_MAX]; /* too much for the stack */
    png_alloc_size_t len = sizeof png;
    if (png_image_write_to_memory(&image, png, &len, 0, canvas->pixels, 0, NULL) == 0) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "the picture: %.100s", image.message);
    }
    kv_buf_add(out, png, len);
    return out->failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a picture") : KV_OK;
}

static enum kv_code check_label(const char *label, size_t width, struct kv_err *err)
{
    size_t len = strlen(label);
    bool good = len > 0 && len <= CLI_PICTURE_LABEL_MAX && len * GLYPH_STEP <= width;
    for (size_t i = 0; good && i < len; i++) {
        good = glyph_of(label[i]) != NULL;
    }
    return good ? KV_OK
                : KV_REFUSE(err, KV_E_INPUT_VALUE,
                            "a label has 1 to %d digits, capital letters, '-' and spaces",
                            CLI_PICTURE_LABEL_MAX);
}

enum kv_code cli_picture(const char *link, const char *label, struct kv_buf *out,
                         struct kv_err *err)
{
    /* M mends 15 % of damage; higher levels make KOD II with RSA hard to scan */
    KV_CLEANUP(qr_freep) QRcode *code = QRcode_encodeString8bit(link, 0, QR_ECLEVEL_M);
    if (code == NULL) {
        return KV_REFUSE(err, errno == ENOMEM ? KV_E_NO_MEMORY : KV_E_INPUT_VALUE,
                         "no QR code holds this link of %zu characters", strlen(link));
    }
    size_t width = ((size_t)code->width + 2 * QUIET) * MODULE_PX;
    if (check_label(label, width, err) != KV_OK) {
        return err == NULL ? KV_E_INPUT_VALUE : err->code;
    }
    size_t room = (GLYPH_HEIGHT + 2) * glyph_px(width, strlen(label)) + QUIET * MODULE_PX;
    KV_CLEANUP(canvas_free) struct canvas canvas = {.width = width, .height = width + room};
    canvas.pixels = malloc(canvas.width * canvas.height);
    if (canvas.pixels == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for a picture");
    }
    memset(canvas.pixels, 255, canvas.width * canvas.height);
    draw_code(&canvas, code);
    draw_label(&canvas, label, width);
    return encode(&canvas, out, err);
}
