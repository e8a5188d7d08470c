// The vendor's Node.js sample (API documentation, "Instant payment notifications"), over bodies read one JSON text per line.
const crypto = require("crypto");
const lines = require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean);

function sortObject(obj) {
  return Object.keys(obj)
    .sort()
    .reduce((result, key) => {
      result[key] = obj[key] && typeof obj[key] === "object" ? sortObject(obj[key]) : obj[key];
      return result;
    }, {});
}

for (const line of lines) {
  const params = JSON.parse(line);
  const hmac = crypto.createHmac("sha512", process.argv[2]);
  hmac.update(JSON.stringify(sortObject(params)));
  console.log(JSON.stringify({ text: JSON.stringify(sortObject(params)), signature: hmac.digest("hex") }));
}
