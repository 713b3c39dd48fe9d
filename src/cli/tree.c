/* tree.c - the files of a folder and of all folders below it, for put -r.
 *
 * In the order of names, so that two runs say the same. Links are not followed: what they lead to is either in the tree
 * as well, or was not asked for; and no link can lead in a circle. What is neither file nor folder is skipped too, for
 * its bytes are no content that stays (a device, a FIFO) or there are none (a socket). The buffer and the base are
 * skipped where they lie in the tree: they would be put into themselves.
 *
 * A tree that others work on is no error as such: a name that was there when its folder was listed and is gone when its
 * turn comes is told, and the walk goes on. */
#include "cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct tree_names {
    char **names;
    size_t count, room;
} tree_names;

static int tree_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int tree_remember(tree_names *t, const char *name)
{
    if (t->count == t->room) {
        size_t room = t->room * 2 + 64;
        char **names = reallocarray(t->names, room, sizeof *names);

        if (names == NULL)
            return -ENOMEM;
        t->names = names;
        t->room = room;
    }
    if ((t->names[t->count] = strdup(name)) == NULL)
        return -ENOMEM;
    t->count++;
    return 0;
}

static void tree_free(tree_names *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->names[i]);
    free(t->names);
}

/* All names of a folder at once: while files are put it is not held open, however deep the tree is. */
static int tree_list(const char *folder, tree_names *t)
{
    const struct dirent *entry;
    DIR *names = opendir(folder);
    int rc = 0;

    if (names == NULL)
        return -errno;
    while (rc == 0 && (errno = 0, entry = readdir(names)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = tree_remember(t, entry->d_name);
    if (rc == 0)
        rc = -errno;
    closedir(names);
    if (t->count > 1)
        qsort(t->names, t->count, sizeof *t->names, tree_compare);
    return rc;
}

void cli_say_vanished(cli *c, const char *path)
{
    cli_say(c, "%s: vanished before it could be read: it was not put", path);
    cli_worsen(c, CLI_NO);
}

static void tree_unreadable(cli *c, const char *path, int status)
{
    if (status == -ENOENT) {
        cli_say_vanished(c, path);
        return;
    }
    cli_say(c, "%s: %s: what is in it was not put; %s", path, blob_strerror(status), cli_advice(status));
    cli_worsen(c, CLI_FAILED);
}

/* The last name of a path; its length is returned. */
static size_t tree_last(const char *path, const char **name)
{
    size_t end = strlen(path), begin;

    while (end > 1 && path[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/'; begin--)
        ;
    *name = path + begin;
    return end - begin;
}

/* A base that is not opened need not be there, and who asks for one on a server that hangs waits for ever. So it is looked
 * at only for a folder of its name. */
static bool tree_may_be_base(const cli_session *s, const char *folder)
{
    const char *name, *base;
    size_t length = tree_last(folder, &name), base_length;

    if (s->base_place.dir == NULL)
        return false;
    base_length = tree_last(s->base_place.dir, &base);
    return s->base != NULL || strspn(base, ".") == base_length ||
           (length == base_length && memcmp(name, base, length) == 0);
}

static bool tree_is_store(const cli_session *s, const char *folder)
{
    return (s->buffer_place.dir != NULL && cli_place_same(folder, s->buffer_place.dir)) ||
           (tree_may_be_base(s, folder) && cli_place_same(folder, s->base_place.dir));
}

static const char *tree_special(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFLNK:
        return "a symbolic link";
    case S_IFIFO:
        return "a FIFO";
    case S_IFSOCK:
        return "a socket";
    default:
        return "a device";
    }
}

static bool tree_entry(cli_session *s, const char *path, cli_tree_fn *fn)
{
    struct stat st;

    if (cli_ended(s->c))
        return false;
    if (lstat(path, &st) != 0)
        tree_unreadable(s->c, path, -errno);
    else if (S_ISDIR(st.st_mode))
        return cli_tree_walk(s, path, fn);
    else if (S_ISREG(st.st_mode))
        return fn(s, path);
    else
        cli_say(s->c, "%s: skipped: %s", path, tree_special(st.st_mode));
    return true;
}

bool cli_tree_walk(cli_session *s, const char *folder, cli_tree_fn *fn)
{
    const char *slash = folder[0] != '\0' && folder[strlen(folder) - 1] == '/' ? "" : "/";
    tree_names names = {0};
    bool go_on = true;
    int rc;

    if (tree_is_store(s, folder)) {
        cli_say(s->c, "%s: skipped: it is the buffer or the base itself", folder);
        return true;
    }
    if ((rc = tree_list(folder, &names)) != 0)
        tree_unreadable(s->c, folder, rc);
    for (size_t i = 0; rc == 0 && go_on && i < names.count; i++) {
        char *path;

        if (asprintf(&path, "%s%s%s", folder, slash, names.names[i]) < 0) {
            tree_unreadable(s->c, folder, -ENOMEM);
            break;
        }
        go_on = tree_entry(s, path, fn);
        free(path);
    }
    tree_free(&names);
    return go_on;
}

bool cli_is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}
