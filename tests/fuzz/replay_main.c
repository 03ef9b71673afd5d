/* Runs a fuzz target over the files named by its arguments (folders: every file in them), so that
 * the corpora are ordinary tests under every compiler. Fails if it found no file at all. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t runs;

static void run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    size_t len = 0, cap = 1 << 20;
    uint8_t *data = malloc(cap);
    if (data == NULL) {
        exit(1);
    }
    len = fread(data, 1, cap, file);
    if (ferror(file) || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
    /* an exact-size copy, so that a sanitizer sees one byte too many */
    uint8_t *exact = malloc(len == 0 ? 1 : len);
    if (exact == NULL) {
        exit(1);
    }
    for (size_t i = 0; i < len; i++) {
        exact[i] = data[i];
    }
    free(data);
    (void)LLVMFuzzerTestOneInput(exact, len); /* its result only guides libFuzzer */
    free(exact);
    runs++;
}

static void run_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        perror(path);
        exit(1);
    }
    if (!S_ISDIR(st.st_mode)) {
        run_file(path);
        return;
    }
    DIR *dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        exit(1);
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        char child[4096];
        int n = snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && n > 0 && (size_t)n < sizeof child) {
            run_path(child);
        }
    }
    (void)closedir(dir); /* read-only: nothing to lose */
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        run_path(argv[i]);
    }
    printf("%zu inputs replayed\n", runs);
    return runs == 0;
}
