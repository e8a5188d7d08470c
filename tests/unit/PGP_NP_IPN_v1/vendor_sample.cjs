// NOWPayments' own Node.js sample (API documentation, "Instant payment notifications"): one JSON body a line in, one signature a line out.
const crypto = require("crypto");

function sortObject(obj) {
  return Object.keys(obj)
    .sort()
    .reduce((result, key) => {
      result[key] = obj[key] && typeof obj[key] === "object" ? sortObject(obj[key]) : obj[key];
      return result;
    }, {});
}

const bodies = require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean);
for (const body of bodies) {
  const hmac = crypto.createHmac("sha512", process.argv[2]);
  hmac.update(JSON.stringify(sortObject(JSON.parse(body))));
  console.log(hmac.digest("hex"));
}
