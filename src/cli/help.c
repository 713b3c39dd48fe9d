/* help.c - the verbs, and everything that --help says. This is the manual: what is not said here is not promised. */
#include "cli/cli.h"

#include <string.h>

static const char help_exit[] = "\n"
                                "Exit codes\n"
                                "  0  done\n"
                                "  1  a blob was not found, or its bytes are damaged; a file changed or vanished\n"
                                "     while it was put\n"
                                "  2  the command line is wrong; nothing was done\n"
                                "  3  a file or store could not be read or written\n"
                                "  4  accepted and safe in the buffer, but not all of it is in the base\n"
                                "  130, 143  stopped by SIGINT (Ctrl-C) or SIGTERM\n"
                                "Of several the gravest counts: 130 and 143, then 2, 3, 4, 1.\n";

static const char help_text[] =
    "wbstore - a content-addressed store that accepts at local speed\n"
    "\n"
    "  wbstore put [-r] [FILE... | -] [--no-sync] [--timeout SECONDS]    store files, print their addresses\n"
    "  wbstore get ADDRESS [-o FILE]                                     write out a blob\n"
    "  wbstore ls                                                        list all blobs\n"
    "  wbstore rm ADDRESS...                                             remove blobs\n"
    "  wbstore sync [--timeout SECONDS]                                  send what waits in the buffer\n"
    "  wbstore status                                                    what waits in the buffer\n"
    "  wbstore verify [--base-too]                                       find damaged blobs\n"
    "  wbstore export -o FOLDER [ADDRESS...]                             save the buffer's blobs as files\n"
    "  wbstore help [COMMAND]                                            more about one command\n"
    "\n"
    "Blobs go into a buffer first, which is durable and near, and from there to the base.\n"
    "\n"
    "  --base FOLDER      the base; else WBSTORE_BASE\n"
    "  --buffer FOLDER    the buffer; else WBSTORE_BUFFER\n"
    "  --json             put, ls, sync, status, verify: one JSON object on a line for each line of text\n"
    "  -h, --help         this text, or that of a command\n"
    "  --version\n"
    "\n"
    "FOLDER is one of\n"
    "  log:DIR     a log: quick to write, for it appends to a few files and syncs many blobs at once\n"
    "  file:DIR    a file for each blob, named by its address: plain tools can read them\n"
    "  DIR         whichever of these is there; a new one is a log as the buffer, and files as the base\n"
    "One that is missing is made, the buffer by put, the base by put and sync: to all else its name is a mistake. A\n"
    "folder in which there is no store is an empty store, and only put and sync make one there. A store is in use by\n"
    "one process at a time; but status, verify and export look at a log also while it is.\n"
    "\n"
    "The base can also be s3://BUCKET/PREFIX, object storage that speaks the S3 API: an object for each blob, named\n"
    "PREFIX/ADDRESS. Any number of processes can use it. The environment says what else it takes:\n"
    "  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY    and AWS_SESSION_TOKEN, if there is one\n"
    "  AWS_REGION             else AWS_DEFAULT_REGION, else us-east-1\n"
    "  AWS_ENDPOINT_URL_S3    else AWS_ENDPOINT_URL; the server, else https://s3.REGION.amazonaws.com\n"
    "  AWS_CA_BUNDLE          for https: a file of the certificates to trust; else the system's. https needs OpenSSL\n"
    "                         (libssl3) on this machine\n"
    "\n"
    "Options may stand before or after the command; -- ends them. Only put and sync send anything to the base.\n";

static const char help_put[] =
    "wbstore put [-r] [FILE... | -] [--no-sync] [--timeout SECONDS] [--json]\n"
    "\n"
    "Stores each FILE as a blob and prints `ADDRESS  NAME`, as sha256sum does, as soon as the blob is safe in the\n"
    "buffer. Without FILE, or for -, standard input is one blob. A file is held in memory whole. Then sends what the\n"
    "buffer holds, older blobs too, and waits until the base has it. A FILE that cannot be read is reported; the\n"
    "others are stored. A base that cannot be opened hinders no put: its blobs wait in the buffer (exit code 4). But\n"
    "what s3:// needs of the environment must be there.\n"
    "\n"
    "  -r, --recursive      of a FILE that is a folder, every file in it and in the folders below, in the order of\n"
    "                       names. Symbolic links, devices, FIFOs and sockets are skipped, and so are the folders of\n"
    "                       buffer and base; each is named on standard error, and that is no failure. (What is named\n"
    "                       on the command line may be a link.) Only the bytes of files are stored: no names, no\n"
    "                       empty folders. Keep the lines: they say what was where\n"
    "  --no-sync            into the buffer only: needs no base, sends nothing\n"
    "  --timeout SECONDS    wait so long at most for the base, also to make room in a buffer whose disk is full;\n"
    "                       without it, until all is sent\n"
    "  --json               one object on a line for each blob:\n"
    "                         address     string\n"
    "                         size        number, in bytes\n"
    "                         name        string; a byte that is not UTF-8 becomes U+FFFD, and then there is also\n"
    "                         name_hex    string: the bytes of the name as hexadecimal digits\n"
    "\n"
    "Exit code 1: a file changed while it was read, so that the blob may be neither the old nor the new; or it was "
    "gone\n"
    "when its turn came. It is named, and the others are stored.\n"
    "\n"
    "Ctrl-C stops it; a blob whose line was printed is in the buffer or in the base.\n";

static const char help_get[] =
    "wbstore get ADDRESS [-o FILE]\n"
    "\n"
    "Writes the blob to standard output, from the buffer or else from the base, after checking that its bytes hash to\n"
    "ADDRESS. (Keys of another length than an address, which other programs may have put, have nothing to check. The\n"
    "empty one is written empty-key here, in ls and in rm.)\n"
    "\n"
    "  -o, --output FILE    write FILE, whole or not at all; - is standard output. One that is there is replaced and\n"
    "                       keeps its permissions\n";

static const char help_ls[] =
    "wbstore ls [--json]\n"
    "\n"
    "Prints `ADDRESS  SIZE` for every blob in the buffer or the base, once each, in the order of addresses. SIZE is "
    "in\n"
    "bytes, - where the store does not say.\n"
    "\n"
    "  --json    one object on a line for each: address (string, \"\" for the empty key), size (number, or null)\n";

static const char help_rm[] =
    "wbstore rm ADDRESS...\n"
    "\n"
    "Removes blobs from the base and from the buffer. One that is in neither is reported; the others are removed.\n";

static const char help_sync[] =
    "wbstore sync [--timeout SECONDS] [--json]\n"
    "\n"
    "Sends what waits in the buffer and waits until the base has it. Blobs that cannot be sent are named, with the\n"
    "reason, and stay in the buffer. In the end it prints how that went: blobs sent, and tries repeated; what still\n"
    "waits, and what of it is parked; how long the base took for a blob (half of them, and 99 of 100, at most so "
    "long);\n"
    "what was sent a second, of the last five; how many uploads may be under way at once, and why no more; the last\n"
    "failure, and how long ago it was.\n"
    "\n"
    "  --timeout SECONDS    wait so long at most; without it, until all is sent\n"
    "  --json               one object on one line:\n"
    "                         sent, retries    numbers\n"
    "                         base_p50_us, base_p99_us, base_max_us    numbers, or null if the base took nothing "
    "lately\n"
    "                         sent_milliblobs_per_s, sent_bytes_per_s, concurrency    numbers\n"
    "                         concurrency_reason    max, learning, base, throttled, timeout, options, down or paused\n"
    "                         last_status (number, negative), last_reason (string), last_age_ms (number): of the last\n"
    "                         failure; null if there was none\n"
    "                         pending_blobs, pending_bytes, parked    numbers: what still waits\n";

static const char help_status[] =
    "wbstore status [--json]\n"
    "\n"
    "Shows what waits in the buffer: blobs and bytes, the age of the oldest, and parked blobs with their reasons.\n"
    "Reads the whole buffer, sends nothing, needs no base. Parked are the blobs that cannot be read or whose bytes do\n"
    "not hash to their address; what else a base may refuse, sync finds out.\n"
    "\n"
    "How the last sending from there went, by put or sync, is shown as sync shows it: they leave that behind as the\n"
    "file last-sending in the buffer's folder. Other programs do not.\n"
    "\n"
    "Of a log also: its segments, and spare ones to be used again; bytes on disk, and how many of them are live;\n"
    "damaged records, and those that a crash cut short, which nobody was told were stored; segments set aside because\n"
    "of damage, as damaged-N in its folder until you remove them. A log can be open elsewhere meanwhile: then this is\n"
    "its state of a moment ago.\n"
    "\n"
    "Exit code 1: something is parked or damaged.\n"
    "\n"
    "  --json    one object on one line:\n"
    "              buffer           string, as given; bytes that are not UTF-8 become U+FFFD\n"
    "              pending_blobs    number, the parked ones included\n"
    "              pending_bytes    number, likewise\n"
    "              oldest_age_ms    number, or null if nothing is pending or the age is not known\n"
    "              parked           array of objects: address (string), size (number, or null if not known),\n"
    "                               status (number, negative, as in the library's headers), reason (string)\n"
    "              log              null for other stores; else an object of numbers: segments, spare_segments,\n"
    "                               live_bytes, disk_bytes (spares included), dead_bytes (what of them is not live),\n"
    "                               damaged_records, torn_records, set_aside_segments, set_aside_bytes; and\n"
    "                               read_only (true or false), read_only_reason (string or null)\n"
    "              last_sending     only if there was one: an object with age_ms (number) and, as of sync --json, sent "
    "to\n"
    "                               last_age_ms\n";

static const char help_verify[] =
    "wbstore verify [--base-too] [--json]\n"
    "\n"
    "Reads every blob in the buffer and checks that its bytes hash to its address; a log also checks the checksums of\n"
    "its records. (Keys of another length than an address, which other programs may have put, have nothing else.)\n"
    "Changes nothing, sends nothing, needs no base. A log can be open elsewhere meanwhile.\n"
    "\n"
    "Prints `ADDRESS  WHERE  WHAT` for each blob that is damaged. WHERE is FILE:OFFSET+SIZE in the buffer's folder,\n"
    "FILE if the blob is all of it, or - if that is not known; ADDRESS is - for damage of which no blob is known.\n"
    "Then `N blobs checked, M damaged`, and `, K more places damaged` if there are some that hit none of these blobs.\n"
    "Exit code 1: something is damaged.\n"
    "\n"
    "  --base-too    then every blob in the base as well: reads all of it. WHERE begins with buffer: or base:, and so\n"
    "                does the last line of each. A base that cannot be opened or read is exit code 3, and the buffer "
    "is\n"
    "                verified all the same. One of files must not be in use meanwhile\n"
    "  --json        one object on a line for each:\n"
    "                  address    string; or null if not known\n"
    "                  file       string, or null if not known\n"
    "                  offset     number, or null if not known\n"
    "                  size       number, likewise\n"
    "                  reason     string\n"
    "                  store      with --base-too: buffer or base\n"
    "                and a last one of each store, of numbers: blobs, damaged, other; N, M, K of the line above\n";

static const char help_export[] =
    "wbstore export -o FOLDER [ADDRESS...]\n"
    "\n"
    "Saves every blob in the buffer, or those named, as FOLDER/ADDRESS. FOLDER is made if missing. Changes nothing in\n"
    "the buffer, sends nothing, needs no base. A log can be open elsewhere meanwhile. A file is written whole or not\n"
    "at all; one that is there stays, and is an error unless it is the same. A damaged blob is named on standard\n"
    "error, and what is left of it saved as FOLDER/ADDRESS.damaged. Last comes `N blobs saved in FOLDER, M damaged, K\n"
    "unreadable`. Exit code 1: some were damaged, unreadable, or not found.\n"
    "\n"
    "  -o, --output FOLDER    where to\n"
    "\n"
    "Other programs may have put keys that are no addresses. The file of the empty one is empty-key. A key of more\n"
    "than 112 bytes has more digits than a file name holds: the first 224 and a + are a folder, and so on.\n";

static const char help_help[] = "wbstore help [COMMAND]\n"
                                "\n"
                                "Says what a command does, which options it takes and what it prints. Without\n"
                                "COMMAND: what commands there are, and how stores are named.\n";

static void help_run(cli *c)
{
    const cli_verb *asked = NULL;

    if (c->options.count > 0 && (asked = cli_verb_find(c->options.operands[0])) == NULL) {
        cli_say(c, "%s: no such command: `wbstore help` lists them", c->options.operands[0]);
        cli_worsen(c, CLI_USAGE);
        return;
    }
    c->verb = asked;
    cli_help(c);
}

static const cli_verb help_verbs[] = {
    {.name = "put",
     .options = CLI_OPT_NO_SYNC | CLI_OPT_TIMEOUT | CLI_OPT_RECURSIVE | CLI_OPT_JSON,
     .operands_max = SIZE_MAX,
     .run = cli_put,
     .help = help_put},
    {.name = "get",
     .options = CLI_OPT_OUTPUT,
     .operands_min = 1,
     .operands_max = 1,
     .needs_buffer = true,
     .run = cli_get,
     .help = help_get},
    {.name = "ls", .options = CLI_OPT_JSON, .needs_buffer = true, .run = cli_ls, .help = help_ls},
    {.name = "rm", .operands_min = 1, .operands_max = SIZE_MAX, .needs_buffer = true, .run = cli_rm, .help = help_rm},
    {.name = "sync",
     .options = CLI_OPT_TIMEOUT | CLI_OPT_JSON,
     .needs_buffer = true,
     .run = cli_sync,
     .help = help_sync},
    {.name = "status", .options = CLI_OPT_JSON, .needs_buffer = true, .run = cli_status, .help = help_status},
    {.name = "verify",
     .options = CLI_OPT_JSON | CLI_OPT_BASE_TOO,
     .needs_buffer = true,
     .run = cli_verify,
     .help = help_verify},
    {.name = "export",
     .options = CLI_OPT_OUTPUT,
     .operands_max = SIZE_MAX,
     .needs_buffer = true,
     .run = cli_export,
     .help = help_export},
    {.name = "help", .operands_max = 1, .run = help_run, .help = help_help},
};

const cli_verb *cli_verb_find(const char *name)
{
    for (size_t i = 0; i < sizeof help_verbs / sizeof help_verbs[0]; i++)
        if (strcmp(help_verbs[i].name, name) == 0)
            return &help_verbs[i];
    return NULL;
}

void cli_help(cli *c)
{
    fputs(c->verb != NULL ? c->verb->help : help_text, stdout);
    fputs(help_exit, stdout);
    (void)cli_flush(c);
}
