#!/usr/bin/python3
"""s3_clients.py - s3store beside other clients of S3, in puts of 4 KiB to the same server.

    s3_clients.py BENCH_S3 [--rounds N] [--puts FLIGHT:COUNT]... [--only NAME,NAME...]

BENCH_S3 is the program of that name; S3_ENDPOINT (http), S3_BUCKET, S3_ACCESS_KEY, S3_SECRET_KEY and S3_REGION say
where the server is. Each client puts COUNT objects, FLIGHT at a time. They run in turn, so that a noisy machine and a
server that ages disturb all alike; after each round what was put is removed. What a client takes to put a single object
is its start-up, and taken off. Rates, with the rounds' least and greatest; how much faster s3store was, the median of
the rounds' ratios; CPU of the client's processes, user and system.

Clients that are not installed are left out (Debian: curl nodejs rclone s3cmd awscli python3-boto3 wrk). curl and wrk
are given requests that are signed already, so of S3 they do nothing themselves; wrk is a load generator, there for the
limit: it does not read its objects from files, and goes on for some seconds whatever COUNT is. s3cmd does one thing at
a time, so FLIGHT of them run at once.

All replace what is there, s3store too; "if-absent" is s3store with puts that must not, which the server has more to do
for, and "curl-if-absent", which is held against that, asks for the same.
"""
import argparse, concurrent.futures, datetime, hashlib, hmac, http.client, importlib.util, os, pathlib, re, shutil
import statistics, subprocess, sys, tempfile, time, urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
ENDPOINT, BUCKET, ACCESS_KEY, SECRET_KEY, REGION = (
    os.environ.get("S3_" + name, "") for name in ("ENDPOINT", "BUCKET", "ACCESS_KEY", "SECRET_KEY", "REGION"))
HOST = ENDPOINT.removeprefix("http://")
SIZE = 4096
WRK_S = 5


# ---- requests of our own: those that others are given ready-made, and to clean up

def signed(method, path, query="", body=b""):
    """The fields of a request."""
    stamp = datetime.datetime.utcnow().strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{REGION}/s3/aws4_request"
    digest, names = hashlib.sha256(body).hexdigest(), "host;x-amz-content-sha256;x-amz-date"
    canonical = (f"{method}\n{path}\n{query}\nhost:{HOST}\nx-amz-content-sha256:{digest}\nx-amz-date:{stamp}\n\n"
                 f"{names}\n{digest}")
    key = ("AWS4" + SECRET_KEY).encode()
    for part in (stamp[:8], REGION, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return {"Host": HOST, "x-amz-content-sha256": digest, "x-amz-date": stamp, "Authorization":
            f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, Signature={signature}"}


def ask(connection, method, path, query=""):
    connection.request(method, path + ("?" + query if query else ""), headers=signed(method, path, query))
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def listed(prefix):
    """A page of it."""
    query = "list-type=2&prefix=" + urllib.parse.quote(prefix, safe="")
    status, text = ask(http.client.HTTPConnection(HOST), "GET", f"/{BUCKET}", query)
    assert status == 200, text
    return re.findall("<Key>([^<]*)</Key>", text)


def remove(prefix):
    """Returns how many there were."""
    def some(names):
        connection = http.client.HTTPConnection(HOST)
        for name in names:
            status, text = ask(connection, "DELETE", f"/{BUCKET}/{name}")
            assert status == 204, text

    count = 0
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        while names := listed(prefix):
            count += len(names)
            list(pool.map(some, (names[i::16] for i in range(16))))
    return count


# ---- the clients: each makes a command that puts a folder's files, and may write what it needs into work

def curl(folder, flight, prefix, work, more={}):
    def transfer(file):
        path = f"/{BUCKET}/{prefix}{file.name}"
        signed_fields = signed("PUT", path, "", file.read_bytes())
        fields = (f'header = "{k}: {v}"' for k, v in (signed_fields | more).items())
        return "\n".join([f'url = "{ENDPOINT}{path}"', f'upload-file = "{file}"', 'output = "/dev/null"', "fail",
                          "silent", *fields])

    (work / "curl").write_text("\nnext\n".join(transfer(file) for file in sorted(folder.iterdir())))
    return ["curl", "-s", "-K", f"{work}/curl"] + (["-Z", "--parallel-max", flight] if flight > 1 else [])


def curl_if_absent(folder, flight, prefix, work):
    return curl(folder, flight, prefix, work, {"If-None-Match": "*"})


def wrk(folder, flight, prefix, work):
    files = sorted(folder.iterdir())
    with open(f"{work}/wrk", "wb") as requests:
        for file in files:
            path, body = f"/{BUCKET}/{prefix}{file.name}", file.read_bytes()
            fields = signed("PUT", path, "", body) | {"Content-Length": len(body)}
            head = "".join([f"PUT {path} HTTP/1.1\r\n", *(f"{k}: {v}\r\n" for k, v in fields.items()), "\r\n"]).encode()
            requests.write(b"%8d" % (len(head) + len(body)) + head + body)
    (work / "wrk.lua").write_text(f"""
        local file, all, at = io.open("{work}/wrk", "rb"), {{}}, 0
        for i = 1, {len(files)} do all[i] = file:read(tonumber(file:read(8))) end
        function request() at = at + 1 return all[(at - 1) % #all + 1] end
    """)
    return ["wrk", "-t", "1", "-c", flight, "-d", WRK_S, "--timeout", "60", "-s", f"{work}/wrk.lua", ENDPOINT]


def node(folder, flight, prefix, work):
    return ["node", HERE / "s3_client.mjs", folder, flight, prefix]


def rclone(folder, flight, prefix, work):
    (work / "rclone").write_text(f"[to]\ntype = s3\nprovider = Ceph\naccess_key_id = {ACCESS_KEY}\n"
                                 f"secret_access_key = {SECRET_KEY}\nendpoint = {ENDPOINT}\nregion = {REGION}\n")
    return ["rclone", "--config", work / "rclone", "copy", folder, f"to:{BUCKET}/{prefix}", "--transfers", flight,
            "--no-check-dest", "--no-traverse", "--s3-no-head", "--s3-no-check-bucket", "--s3-disable-checksum",
            "--stats", "0"]


def s3cmd(folder, flight, prefix, work):
    (work / "s3cmd").write_text(f"[default]\naccess_key = {ACCESS_KEY}\nsecret_key = {SECRET_KEY}\nhost_base = {HOST}\n"
                                f"host_bucket = {HOST}\nbucket_location = {REGION}\nuse_https = False\n")
    files, to = sorted(map(str, folder.iterdir())), f"s3://{BUCKET}/{prefix}"
    (work / "s3cmd.list").write_text("\n".join(files))
    each = f's3cmd -q -c {work}/s3cmd put "$@" {to}'
    return ["xargs", "-a", work / "s3cmd.list", "-P", flight, "-n", -(-len(files) // flight), "sh", "-c", each, "sh"]


def aws(folder, flight, prefix, work):
    (work / "aws").write_text(f"[default]\ns3 =\n  max_concurrent_requests = {flight}\n")
    return ["env", f"AWS_CONFIG_FILE={work}/aws", "/usr/bin/aws", "--endpoint-url", ENDPOINT, "s3", "cp", "--quiet",
            "--recursive", folder, f"s3://{BUCKET}/{prefix}"]


BOTO3 = """
import concurrent.futures, os, pathlib, sys
import boto3, botocore.config
folder, flight, prefix, endpoint, bucket = sys.argv[1:]
config = botocore.config.Config(max_pool_connections=int(flight), s3={"addressing_style": "path"})
client = boto3.client("s3", endpoint_url=endpoint, config=config)
def put(file):
    client.put_object(Bucket=bucket, Key=prefix + file.name, Body=file.read_bytes())
with concurrent.futures.ThreadPoolExecutor(int(flight)) as pool:
    list(pool.map(put, pathlib.Path(folder).iterdir()))
"""


def boto3(folder, flight, prefix, work):
    return [sys.executable, "-c", BOTO3, folder, flight, prefix, ENDPOINT, BUCKET]


OURS = {"s3store": ["--replace"], "if-absent": []}
CLIENTS = {"curl": (curl, "curl"), "curl-if-absent": (curl_if_absent, "curl"), "wrk": (wrk, "wrk"),
           "node": (node, "node"), "rclone": (rclone, "rclone"), "s3cmd": (s3cmd, "s3cmd"),
           "aws": (aws, "/usr/bin/aws"), "boto3": (boto3, sys.executable)}


# ---- running them

def run(command):
    """Seconds on the clock, and of CPU: of the process and all that it waited for; and what it said."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    env |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_DEFAULT_REGION": REGION}
    with tempfile.TemporaryFile() as said:
        begun = time.monotonic()
        child = subprocess.Popen([str(c) for c in command], env=env, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            said.seek(0)
            sys.exit(f"{command}: {child.returncode}\n{said.read(2000).decode()}")
        said.seek(0)
        return seconds, usage.ru_utime + usage.ru_stime, said.read().decode()


class Client:
    def __init__(self, name, bench):
        self.name, self.bench, self.start_up, self.rounds = name, bench, (0, 0), []

    def put(self, folder, count, flight, stem, work):
        """Prefix, how many were put, seconds, seconds of CPU."""
        prefix = f"{stem}{self.name}/"
        if self.name in OURS:
            command = [self.bench, "--puts", count, "--flight", flight, "--prefix", prefix, *OURS[self.name]]
        else:
            command = CLIENTS[self.name][0](folder, flight, prefix, work)
        seconds, cpu, said = run(command)
        if self.name == "wrk":  # goes by time; its connections begin within it
            if "Non-2xx" in said or "Socket errors" in said:
                sys.exit(said)
            done = int(re.search(r"(\d+) requests in", said)[1])
            return prefix, done, WRK_S, cpu
        return prefix, count, seconds, cpu


def checked_remove(prefix, count):
    there = remove(prefix)
    if there < count:
        sys.exit(f"{prefix}: {there} objects instead of {count}")


def spread(values, form):
    return f"{statistics.median(values):{form}} ({min(values):{form}}..{max(values):{form}})"


def compare(clients, flight, count, rounds, work):
    folders = {n: work / f"{n}" for n in (1, count)}
    for n, folder in folders.items():
        folder.mkdir(exist_ok=True)
        for i in range(n):
            (folder / hashlib.sha256(b"%d" % i).hexdigest()).write_bytes(os.urandom(SIZE))
    stem = f"clients-{os.getpid()}-{flight}-"
    for client in clients:
        tries = []
        for i in range(0 if client.name == "wrk" else 3):
            prefix, _, *measured = client.put(folders[1], 1, flight, f"{stem}start-{i}-", work)
            checked_remove(prefix, 1)
            tries.append(measured)
        client.start_up = [statistics.median(t[i] for t in tries) if tries else 0 for i in range(2)]
        client.rounds = []
    for i in range(rounds):
        there = []
        for client in clients[i % len(clients):] + clients[:i % len(clients)]:
            prefix, done, seconds, cpu = client.put(folders[count], count, flight, f"{stem}{i}-", work)
            there.append((prefix, min(done, count)))
            client.rounds.append((done / seconds, done / (seconds - client.start_up[0]),
                                  (cpu - client.start_up[1]) / done * 1e3))
            print(f"# {client.name} {flight} in flight, {done} puts: {seconds:.3f} s, {cpu:.3f} s of CPU", flush=True)
        for prefix, least in there:
            checked_remove(prefix, least)
    report(clients, flight, count)


def report(clients, flight, count):
    replacing, if_absent = clients[:2]
    print(f"\n{flight} in flight, {count} puts of {SIZE} bytes; load {os.getloadavg()[0]:.1f}")
    print(f"  {'':14} {'put/s':>22} {'s3store is so much faster':>26} {'with start-up':>20} {'CPU ms/put':>21} "
          f"{'start-up s (CPU s)':>19}")
    for client in clients:
        ours = if_absent if client.name.endswith("-if-absent") else replacing
        ratios, whole = ([o[k] / t[k] for o, t in zip(ours.rounds, client.rounds)] for k in (1, 0))
        print(f"  {client.name:14} {spread([r[1] for r in client.rounds], '.0f'):>22} {spread(ratios, '.2f'):>26} "
              f"{spread(whole, '.2f'):>20} {spread([r[2] for r in client.rounds], '.2f'):>21} "
              f"{client.start_up[0]:10.2f} ({client.start_up[1]:.2f})", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("bench")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--puts", action="append", help="FLIGHT:COUNT; 1:500 and 32:2000")
    p.add_argument("--only", help="these beside s3store")
    args = p.parse_args()
    wanted = args.only.split(",") if args.only else CLIENTS
    names = [n for n in wanted if shutil.which(CLIENTS[n][1])]
    if importlib.util.find_spec("boto3") is None:
        names = [n for n in names if n != "boto3"]
    clients = [Client(n, args.bench) for n in [*OURS, *names]]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as work:
        for puts in args.puts or ["1:500", "32:2000"]:
            flight, count = map(int, puts.split(":"))
            compare(clients, flight, count, args.rounds, pathlib.Path(work))


main()
